//! How far the sources of a running job are, split by split, and which of them holds the watermark.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tailwater_core::{Clock, Counter, Gauge, Span, Timestamp};

/// A watermark that has stood for so long deserves a look.
const STUCK_NS: u64 = 1_000_000_000;

/// What a split is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// It is read, and holds the watermark back.
    Reading,
    /// It was silent for longer than its strategy allows, and does not hold the watermark back.
    Idle,
    /// It is not read, because it is too far ahead of its group (SEMANTICS 18).
    Paused,
    /// It is not read, because the way down is full.
    Blocked,
    /// Its last record has been read.
    Ended,
}

const ACTIVITIES: [Activity; 5] =
    [Activity::Reading, Activity::Idle, Activity::Paused, Activity::Blocked, Activity::Ended];

/// What one split shows of itself; written by its core, read by anybody.
#[derive(Clone, Debug)]
pub struct SplitGauges {
    name: Arc<str>,
    records: Gauge,
    newest: Gauge,
    watermark: Gauge,
    /// An index into [`ACTIVITIES`].
    activity: Gauge,
    since_ns: Gauge,
    risen_ns: Gauge,
    heard_ns: Gauge,
    idle_ns: Counter,
    paused_ns: Counter,
}

impl SplitGauges {
    /// A split that was opened at `now_ns`.
    pub(crate) fn new(name: &str, now_ns: u64) -> Self {
        let now = || Gauge::new(now_ns as i64);
        Self {
            name: name.into(),
            records: Gauge::new(0),
            newest: Gauge::new(i64::MIN),
            watermark: Gauge::new(i64::MIN),
            activity: Gauge::new(0),
            since_ns: now(),
            risen_ns: now(),
            heard_ns: now(),
            idle_ns: Counter::default(),
            paused_ns: Counter::default(),
        }
    }

    /// Records have come, of which the last has this time; so many in all.
    #[inline]
    pub(crate) fn show_records(&self, records: u64, last: Timestamp, now_ns: u64) {
        self.records.set(records as i64);
        self.newest.set(last.0);
        self.heard_ns.set(now_ns as i64);
    }

    #[inline]
    pub(crate) fn show_watermark(&self, watermark: Timestamp, now_ns: u64) {
        if watermark.0 > self.watermark.get() {
            self.watermark.set(watermark.0);
            self.risen_ns.set(now_ns as i64);
        }
    }

    pub(crate) fn set_activity(&self, activity: Activity, now_ns: u64) {
        let before = self.shown();
        if activity == before {
            return;
        }
        let span_ns = now_ns.saturating_sub(self.since_ns.get() as u64);
        match before {
            Activity::Idle => self.idle_ns.add(span_ns),
            Activity::Paused => self.paused_ns.add(span_ns),
            Activity::Reading | Activity::Blocked | Activity::Ended => {}
        }
        self.activity.set(activity as i64);
        self.since_ns.set(now_ns as i64);
    }

    fn shown(&self) -> Activity {
        ACTIVITIES[self.activity.get() as usize]
    }
}

/// How far one source is on one core.
#[derive(Clone, Debug)]
pub struct SourceGauges {
    /// The source's name.
    pub name: Arc<str>,
    /// The core that reads these splits.
    pub core: u32,
    /// Records read.
    pub records: Counter,
    /// The newest event time, in nanoseconds.
    pub newest: Gauge,
    /// The watermark, in nanoseconds.
    pub watermark: Gauge,
    /// Since when the way down has been full, by the job's clock; zero while it is not.
    pub blocked_since_ns: Gauge,
    /// Its splits on this core.
    pub splits: Arc<[SplitGauges]>,
}

/// All sources on all cores.
#[derive(Clone, Debug, Default)]
pub struct SourceBoard(Arc<Mutex<Vec<SourceGauges>>>);

impl SourceBoard {
    /// A place on the board.
    pub fn register(&self, name: &Arc<str>, core: u32, splits: Arc<[SplitGauges]>) -> SourceGauges {
        let gauges = SourceGauges {
            name: name.clone(),
            core,
            records: Counter::default(),
            newest: Gauge::new(i64::MIN),
            watermark: Gauge::new(i64::MIN),
            blocked_since_ns: Gauge::new(0),
            splits,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(gauges.clone());
        gauges
    }

    /// The attempt of the job that filled the board is over: what it counted stays, but it holds no
    /// watermark back.
    pub fn retire(&self) {
        for gauges in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            gauges.watermark.set(i64::MAX);
            gauges.splits = Arc::new([]);
        }
    }

    /// All places.
    pub fn all(&self) -> Vec<SourceGauges> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How far one split is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitProgress {
    /// The name of its source.
    pub source: String,
    /// Its own.
    pub split: String,
    /// The core that reads it.
    pub core: u32,
    /// Records read, from the start of the split: the number of the last one.
    pub records: u64,
    /// The event time of the last record; [`Timestamp::MIN`] before the first.
    pub last: Timestamp,
    /// Its watermark.
    pub watermark: Timestamp,
    /// What it is doing.
    pub activity: Activity,
    /// For how long it has been doing that, in nanoseconds.
    pub activity_ns: u64,
    /// For how long its watermark has not risen.
    pub standing_ns: u64,
    /// For how long no record has come.
    pub silent_ns: u64,
    /// For how long it was idle before now.
    pub idle_ns: u64,
    /// For how long it was paused before now.
    pub paused_ns: u64,
}

impl SplitProgress {
    /// Why its watermark does not rise, and what can be done, with event times shown by `moment`.
    pub fn reason(&self, moment: impl Fn(Timestamp) -> String) -> String {
        let Self { source, split, records, watermark, .. } = self;
        let stuck = match *watermark {
            Timestamp::MIN => "there is no watermark yet since".to_owned(),
            _ if self.standing_ns < STUCK_NS => format!("watermark at {} for", moment(*watermark)),
            _ => format!("watermark stuck at {} for", moment(*watermark)),
        };
        let last = match records {
            0 => "no record yet".to_owned(),
            _ => format!("last record {records} at {}", moment(self.last)),
        };
        let why = match self.activity {
            Activity::Blocked => {
                let span = span(self.activity_ns);
                format!("back-pressured for {span}: what it leads to takes no more")
            }
            Activity::Paused => {
                format!("paused for {}: it waits for its group", span(self.activity_ns))
            }
            // More than half of the time without a record explains the other half.
            _ if self.silent_ns >= self.standing_ns / 2 => {
                let advice = if self.silent_ns < STUCK_NS { "" } else { "; consider `idle_after`" };
                format!("no record for {}{advice}", span(self.silent_ns))
            }
            _ => "records come, but none that raises it: look at their event times".to_owned(),
        };
        let standing = span(self.standing_ns);
        format!("{stuck} {standing}: source `{source}`, split `{split}`, {last} ({why})")
    }
}

/// Nanoseconds, rounded so that a person can read them.
fn span(ns: u64) -> Span {
    let unit = match ns {
        10_000_000_000.. => 1_000_000_000,
        10_000_000.. => 1_000_000,
        10_000.. => 1_000,
        _ => 1,
    };
    Span((ns / unit * unit).min(i64::MAX as u64) as i64)
}

/// How far event time is in all splits of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventTime {
    /// All splits of the attempt that runs, or ran last.
    pub splits: Vec<SplitProgress>,
}

impl EventTime {
    /// What the board shows at `now_ns` of the job's clock.
    pub fn of(board: &SourceBoard, now_ns: u64) -> Self {
        let sources = board.all();
        let splits = sources.iter().flat_map(|source| {
            source.splits.iter().map(|split| SplitProgress::of(source, split, now_ns))
        });
        Self { splits: splits.collect() }
    }

    /// The split that holds the job's watermark: the one with the least, the longest silent of
    /// equals. `None` where all are idle or have ended.
    pub fn holder(&self) -> Option<&SplitProgress> {
        let holds =
            |split: &&SplitProgress| !matches!(split.activity, Activity::Idle | Activity::Ended);
        self.splits
            .iter()
            .filter(holds)
            .min_by_key(|split| (split.watermark, std::cmp::Reverse(split.silent_ns)))
    }

    /// Which split holds the watermark, and why, in one line; event times are shown by `moment`.
    pub fn why(&self, moment: impl Fn(Timestamp) -> String) -> String {
        match self.holder() {
            Some(split) => split.reason(moment),
            None if self.splits.iter().all(|split| split.activity == Activity::Ended) => {
                "nothing holds the watermark: all splits have ended".to_owned()
            }
            None => "nothing holds the watermark: all splits are idle".to_owned(),
        }
    }
}

impl SplitProgress {
    fn of(source: &SourceGauges, split: &SplitGauges, now_ns: u64) -> Self {
        let since = |gauge: &Gauge| now_ns.saturating_sub(gauge.get().max(0) as u64);
        let mut activity = split.shown();
        let mut activity_ns = since(&split.since_ns);
        if activity == Activity::Reading && source.blocked_since_ns.get() != 0 {
            (activity, activity_ns) = (Activity::Blocked, since(&source.blocked_since_ns));
        }
        Self {
            source: source.name.to_string(),
            split: split.name.to_string(),
            core: source.core,
            records: split.records.get() as u64,
            last: Timestamp(split.newest.get()),
            watermark: Timestamp(split.watermark.get()),
            activity,
            activity_ns,
            standing_ns: since(&split.risen_ns),
            silent_ns: since(&split.heard_ns),
            idle_ns: split.idle_ns.get(),
            paused_ns: split.paused_ns.get(),
        }
    }
}

/// Looks at the event time of a job from any thread, for as long as it likes.
#[derive(Clone)]
pub struct EventTimeWatch {
    pub(crate) board: SourceBoard,
    pub(crate) clock: Arc<dyn Clock>,
}

impl EventTimeWatch {
    /// How far event time is now.
    pub fn look(&self) -> EventTime {
        EventTime::of(&self.board, self.clock.monotonic_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(secs: u64) -> u64 {
        secs * 1_000_000_000
    }

    fn board() -> (SourceGauges, Vec<SplitGauges>, SourceBoard) {
        let splits: Vec<_> = ["a.csv", "b.csv"].map(|name| SplitGauges::new(name, 0)).into();
        let board = SourceBoard::default();
        let source = board.register(&"trades".into(), 1, splits.clone().into());
        (source, splits, board)
    }

    #[test]
    fn the_split_that_holds_the_watermark_is_named_with_its_reason() {
        let (source, splits, board) = board();
        let reason = |now_ns| {
            let event_time = EventTime::of(&board, now_ns);
            event_time.why(|at| at.to_string())
        };
        splits[0].show_records(10, Timestamp(70), seconds(20));
        splits[0].show_watermark(Timestamp(69), seconds(20));
        assert_eq!(
            reason(seconds(20)),
            "there is no watermark yet since 20s: source `trades`, split `b.csv`, no record yet \
             (no record for 20s; consider `idle_after`)"
        );
        splits[1].show_records(1234, Timestamp(50), seconds(21));
        splits[1].show_watermark(Timestamp(49), seconds(21));
        assert_eq!(
            reason(seconds(33)),
            "watermark stuck at 49 for 12s: source `trades`, split `b.csv`, last record 1234 at 50 \
             (no record for 12s; consider `idle_after`)"
        );
        source.blocked_since_ns.set(seconds(30) as i64);
        assert!(reason(seconds(33)).contains("back-pressured for 3s"));
        source.blocked_since_ns.set(0);
        splits[1].show_records(1235, Timestamp(50), seconds(33));
        assert!(reason(seconds(34)).contains("records come, but none that raises it"));
    }

    // SEMANTICS 13
    #[test]
    fn who_is_idle_or_has_ended_holds_nothing() {
        let (_, splits, board) = board();
        splits[1].set_activity(Activity::Idle, seconds(1));
        let event_time = EventTime::of(&board, seconds(4));
        assert_eq!(event_time.holder().unwrap().split, "a.csv");
        let idle = &event_time.splits[1];
        assert_eq!((idle.activity, idle.activity_ns), (Activity::Idle, seconds(3)));
        splits[0].set_activity(Activity::Paused, seconds(4));
        splits[0].set_activity(Activity::Ended, seconds(6));
        splits[1].set_activity(Activity::Reading, seconds(5));
        let event_time = EventTime::of(&board, seconds(7));
        assert_eq!(event_time.holder().unwrap().split, "b.csv");
        assert_eq!(event_time.splits[0].paused_ns, seconds(2));
        assert_eq!(event_time.splits[1].idle_ns, seconds(4));
        splits[0].set_activity(Activity::Ended, seconds(7));
        splits[1].set_activity(Activity::Idle, seconds(7));
        let why = || EventTime::of(&board, seconds(8)).why(|at| at.to_string());
        assert!(why().contains("all splits are idle"));
        splits[1].set_activity(Activity::Ended, seconds(8));
        assert!(why().contains("all splits have ended"));
        board.retire();
        assert_eq!(EventTime::of(&board, 0), EventTime::default());
    }
}

//! The machine's own floor: the delays that an open-loop schedule meets on cores that only spin.

use hdrhistogram::Histogram;
use quanta::Clock;
use std::ops::Range;

/// Shorter pauses than this are the spinning loop itself.
const GAP_MIN_NS: u64 = 100;
/// Room for gaps, taken before the meter starts so that it causes no page faults of its own.
const GAPS_MAX: usize = 1 << 20;

/// Clock readings between which a spinning thread did not run.
type Gap = Range<u64>;

/// What one core saw of a stretch of time.
pub struct Stretch {
    seen: Range<u64>,
    gaps: Vec<Gap>,
}

/// Spins from `start` (or now, if that is past) to `end` and notes every gap.
pub fn spin(clock: &Clock, start: u64, end: u64) -> Stretch {
    let mut gaps = vec![0..0; GAPS_MAX];
    gaps.clear();
    while clock.raw() < start {}
    let first = clock.raw();
    let mut last = first;
    while last < end && gaps.len() < GAPS_MAX {
        let now = clock.raw();
        if clock.delta_as_nanos(last, now) >= GAP_MIN_NS {
            gaps.push(last..now);
        }
        last = now;
    }
    Stretch { seen: first..last, gaps }
}

/// Adds the delay of every moment of a schedule with the given interval (in units of the clock)
/// that falls into a stretch which both cores saw: a moment in a gap of the first core waits for
/// its end, and then for the end of the gap which it meets on the second.
pub fn replay(
    clock: &Clock,
    interval: f64,
    first: &Stretch,
    second: &Stretch,
    delays_ns: &mut Histogram<u64>,
) {
    let start = first.seen.start.max(second.seen.start);
    let end = first.seen.end.min(second.seen.end);
    let moments = (end.saturating_sub(start) as f64 / interval) as u64;
    let mut gaps = [first.gaps.iter().peekable(), second.gaps.iter().peekable()];
    for i in 0..moments {
        let intended = start + (i as f64 * interval) as u64;
        let mut moment = intended;
        for gaps in &mut gaps {
            while gaps.next_if(|gap| gap.end <= moment).is_some() {}
            if let Some(gap) = gaps.peek()
                && gap.start <= moment
            {
                moment = gap.end;
            }
        }
        delays_ns.saturating_record(clock.delta_as_nanos(intended, moment));
    }
}

//! The progress bar: rate, event time, lag and watermark of a running job, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tailwater::{Clock, JobHandle, Span, SplitProgress, SystemClock, Timestamp};

use crate::look::{self, Moment};

/// The bar is drawn ten times a second; no faster can it be read.
const DRAW_EVERY_NS: u64 = 100_000_000;
/// From when on the bar names the split that holds the watermark.
const SHOW_HOLDER_NS: u64 = 1_000_000_000;
/// How soon the end of a job is seen.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A bar on standard error of up to `length` records, or a spinner where nobody knows how many.
pub fn bar(length: Option<u64>, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10));
    let head = match length {
        Some(_) => "{bar:24.cyan} {percent:>3} %",
        None => "{spinner:.cyan} {elapsed}",
    };
    let template = format!("{head}  {{done}} {what}  {{pace}} /s  {{msg}}");
    // A template that does not parse is a mistake in this file; the default bar is as useful then.
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("done", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = text.write_str(&look::count(state.pos()));
        })
        .with_key("pace", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = text.write_str(&look::rate(state.per_sec()));
        });
    bar.set_style(style);
    bar
}

/// Whether the bar is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// On standard error.
    Bar,
    /// Nothing but what went otherwise than hoped.
    Nothing,
}

/// Shows how far the job is until it ends, and says which split holds the watermark each time that
/// it has stood for `stall`.
pub fn watch(handle: &JobHandle, length: Option<u64>, shown: Shown, stall: Span) {
    let clock = SystemClock::default();
    let bar = match shown {
        Shown::Bar => bar(length, "trades"),
        Shown::Nothing => ProgressBar::hidden(),
    };
    let mut told = None;
    let mut due_ns = 0;
    while !handle.is_finished() {
        let now_ns = clock.monotonic_ns();
        if now_ns >= due_ns {
            due_ns = now_ns + DRAW_EVERY_NS;
            let metrics = handle.metrics();
            let times = handle.event_time();
            let mut message = event_time(metrics.newest, metrics.watermark);
            if let Some(holder) = times.holder() {
                message.push_str(&held(holder));
                let long = holder.standing_ns >= stall.nanos().unsigned_abs();
                if long && told != Some(holder.watermark) {
                    told = Some(holder.watermark);
                    let why = holder.reason(|at| Moment(at).to_string());
                    bar.suspend(|| look::tell("warning", look::ODD, &why));
                }
            }
            bar.set_message(message);
            bar.set_position(metrics.records);
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    bar.finish_and_clear();
}

/// Where event time is, and how far the watermark is behind it.
fn event_time(newest: Timestamp, watermark: Timestamp) -> String {
    let (newest_shown, watermark_shown) = (Moment(newest), Moment(watermark));
    if watermark == Timestamp::MIN || watermark == Timestamp::MAX {
        return format!("event time {newest_shown}  watermark {watermark_shown}");
    }
    let lag = look::nanos((newest - watermark).nanos().max(0).unsigned_abs());
    format!("event time {newest_shown}  watermark {watermark_shown}  lag {lag}")
}

/// Who holds the watermark, where that is worth a look.
fn held(holder: &SplitProgress) -> String {
    if holder.standing_ns < SHOW_HOLDER_NS {
        return String::new();
    }
    let SplitProgress { source, split, standing_ns, .. } = holder;
    format!("  held for {} by {source}/{split}", look::nanos(*standing_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_time_is_told_with_its_lag() {
        let text = event_time(Timestamp(34_200_110_000_000), Timestamp(34_200_000_000_000));
        assert_eq!(text, "event time 09:30:00.110  watermark 09:30:00.000  lag 110.0 ms");
        let text = event_time(Timestamp::MIN, Timestamp::MIN);
        assert_eq!(text, "event time -  watermark -");
    }
}

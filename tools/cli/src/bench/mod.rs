//! The benchmark workloads, each on the engine as users run it; one JSON line a result.

mod chain;
mod checksum;
mod exchange;
mod keyed_count;
mod latency;
mod service_time;
mod state_update;
mod tick_vwap;

use std::sync::atomic::{AtomicU32, Ordering};

use clap::{Args, ValueEnum};
use serde::Serialize;
use tailwater::{CheckpointOptions, Driver, Idle, Local, ModeOptions, Report, Result};

/// Which workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One-second OHLC and VWAP of 10,000 symbols
    TickVwap,
    /// A running count and sum per key, one output per input
    KeyedCount,
    /// Open loop through source, exchange, window and sink: from the intended moment to the result
    Latency,
    /// Five fused stateless steps
    Chain,
    /// 32-byte records from each core to the other
    Exchange,
    /// Read-modify-write of 32-byte values by key, one output per input
    StateUpdate,
    /// The time of one update of a keyed table, its own and not its queueing, at a steady rate
    ServiceTime,
}

/// `tailwater bench`: the same work on the same bytes as other engines, with a checksum of its
/// results.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailwater bench tick-vwap --cores 2 --events 30000000
  tailwater bench keyed-count --keys 10000000 --events 30000000
  tailwater bench keyed-count --keys 10000000 --events 50000000 --checkpoints ckpt/ --interval 1s
  tailwater bench latency --rate 1000000 --seconds 10 --idle spin")]
pub struct BenchArgs {
    /// The workload
    workload: Workload,
    /// Cores to run on
    #[arg(long, default_value_t = 2)]
    cores: u32,
    /// Records in total
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Keys of keyed-count, state-update and service-time
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Records a second of latency and service-time
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// How long latency and service-time run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// What a core does that has nothing to do: spin, yield or park
    #[arg(long, default_value = "spin")]
    idle: Idle,
    /// What drives the cores: glommio, threads or seeded:N
    #[arg(long, default_value = "glommio", value_parser = tailwater::parse_driver)]
    driver: Driver,
    /// Say on standard error when the first output of keyed-count has come
    #[arg(long)]
    first_output: bool,
    #[command(flatten)]
    checkpoints: CheckpointOptions,
    #[command(flatten)]
    mode: ModeOptions,
}

/// What the checkpoints of a workload came to; nothing where it took none.
#[derive(Serialize)]
struct CheckpointFigures {
    checkpoints: u64,
    checkpoints_failed: u64,
    checkpoint_bytes: u64,
    checkpoint_bytes_newest: u64,
    checkpoint_p50_ns: u64,
    checkpoint_max_ns: u64,
    alignment_max_ns: u64,
    pause_p50_ns: u64,
    pause_max_ns: u64,
    drain_max_ns: u64,
    forced_drains: u64,
    restored_from: u64,
    restore_ns: u64,
    state_bytes: u64,
}

impl CheckpointFigures {
    fn of(report: &Report) -> Option<Self> {
        let told = &report.checkpoints;
        (told.completed + told.failed + told.restored_from > 0).then_some(Self {
            checkpoints: told.completed,
            checkpoints_failed: told.failed,
            checkpoint_bytes: told.bytes,
            checkpoint_bytes_newest: told.newest_bytes,
            checkpoint_p50_ns: told.duration_p50_ns,
            checkpoint_max_ns: told.duration_max_ns,
            alignment_max_ns: told.alignment_max_ns,
            pause_p50_ns: told.pause_p50_ns,
            pause_max_ns: told.pause_max_ns,
            drain_max_ns: told.drain_max_ns,
            forced_drains: told.forced_drains,
            restored_from: told.restored_from,
            restore_ns: told.restore_ns,
            state_bytes: told.state_bytes,
        })
    }
}

/// What a throughput workload came to.
#[derive(Serialize)]
struct Throughput {
    engine: &'static str,
    workload: &'static str,
    cores: u32,
    events: u64,
    secs: f64,
    events_per_s: f64,
    outputs: u64,
    checksum: String,
    #[serde(flatten)]
    checkpoints: Option<CheckpointFigures>,
}

impl BenchArgs {
    fn local(&self) -> Local {
        let local = self.checkpoints.clone().apply(Local {
            driver: self.driver,
            idle: self.idle,
            // What is measured is the work; a marker a millisecond belongs to `run`.
            marker_interval: None,
            ..Local::cores(self.cores)
        });
        self.mode.clone().apply(local)
    }

    fn throughput(
        &self,
        workload: &'static str,
        report: &Report,
        outputs: u64,
        checksum: u64,
    ) -> Throughput {
        Throughput {
            engine: "tailwater",
            workload,
            cores: self.cores,
            events: report.records,
            secs: report.secs,
            events_per_s: report.records_per_s(),
            outputs,
            checksum: format!("{checksum:016x}"),
            checkpoints: CheckpointFigures::of(report),
        }
    }
}

/// Runs a workload and prints its line.
///
/// # Errors
/// When the job cannot run as asked.
#[allow(clippy::print_stdout)] // The line is the command's output.
pub fn run(args: &BenchArgs) -> Result<()> {
    let line = match args.workload {
        Workload::TickVwap => to_line(&tick_vwap::run(args)?),
        Workload::KeyedCount => to_line(&keyed_count::run(args)?),
        Workload::Latency => to_line(&latency::run(args)?),
        Workload::Chain => to_line(&chain::run(args)?),
        Workload::Exchange => to_line(&exchange::run(args)?),
        Workload::StateUpdate => to_line(&state_update::run(args)?),
        Workload::ServiceTime => to_line(&service_time::run(args)?),
    };
    println!("{line}");
    Ok(())
}

fn to_line(result: &impl Serialize) -> String {
    serde_json::to_string(result).unwrap_or_default()
}

/// A source of records that are computed from their index: a split for each core, which takes every
/// n-th.
struct Generated<F> {
    events: u64,
    make: F,
    /// Whether all records come from the first core.
    splits: Splits,
    /// How many splits there are; asked for before any is opened.
    cut: AtomicU32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Splits {
    OnePerCore,
    One,
}

impl<F> Generated<F> {
    fn per_core(events: u64, make: F) -> Self {
        Self { events, make, splits: Splits::OnePerCore, cut: AtomicU32::new(1) }
    }

    fn on_one_core(events: u64, make: F) -> Self {
        Self { events, make, splits: Splits::One, cut: AtomicU32::new(1) }
    }

    fn cut(&self, count: u32) -> Vec<String> {
        // Written once, before any thread starts that reads it.
        self.cut.store(count, Ordering::Relaxed);
        (0..count).map(|split| format!("generated-{split}")).collect()
    }
}

struct GeneratedReader<F> {
    next: u64,
    step: u64,
    events: u64,
    make: F,
}

impl<T, F> tailwater::operators::Source for Generated<F>
where
    T: tailwater::Record,
    F: Fn(u64) -> T + Clone + Send + Sync + 'static,
{
    type Out = T;

    fn name(&self) -> String {
        "generated".to_owned()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn splits(&self, cores: u32) -> Result<Vec<String>> {
        Ok(self.cut(if self.splits == Splits::One { 1 } else { cores }))
    }

    fn resume(&self, stored: &[String], _: u32) -> Result<Vec<String>> {
        Ok(self.cut(stored.len() as u32))
    }

    fn open(
        &self,
        split: usize,
        context: &tailwater::operators::SourceContext,
    ) -> Result<Box<dyn tailwater::operators::SplitReader<T>>> {
        let step = u64::from(self.cut.load(Ordering::Relaxed));
        Ok(Box::new(GeneratedReader {
            next: split as u64 + context.records_before() * step,
            step,
            events: self.events,
            make: self.make.clone(),
        }))
    }
}

impl<T, F> tailwater::operators::SplitReader<T> for GeneratedReader<F>
where
    F: Fn(u64) -> T + Send,
{
    fn poll(&mut self, limit: usize, out: &mut Vec<T>) -> Result<tailwater::operators::Polled> {
        let left = self.events.saturating_sub(self.next).div_ceil(self.step);
        let count = left.min(limit as u64);
        let (first, step) = (self.next, self.step);
        out.extend((0..count).map(|k| (self.make)(first + k * step)));
        self.next += count * step;
        Ok(if count == left {
            tailwater::operators::Polled::Finished
        } else {
            tailwater::operators::Polled::Ready
        })
    }

    fn position(&self) -> tailwater::operators::SplitPosition {
        tailwater::operators::SplitPosition::after(self.next / self.step)
    }
}

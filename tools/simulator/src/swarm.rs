//! What may go wrong in a run: drawn from its seed, with some sorts of trouble turned off outright.

use tailwater::Span;
use tailwater_core::Random;

/// The trouble of one run. Turning sorts off lets others go further: a run that crashes all the
/// time never gets to see what a full disk does to a merge.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The process is killed.
    pub crashes: bool,
    /// What a crash leaves of a file that was not synced: nothing, or a torn part.
    pub torn_writes: bool,
    /// Names that were not synced may be there after a crash, or not.
    pub lost_names: bool,
    /// The disk says that it is full, for a while.
    pub disk_full: bool,
    /// The disk fails operations at random.
    pub disk_errors: bool,
    /// A block of a checkpoint that is not the newest rots.
    pub rot: bool,
    /// User functions panic.
    pub panics: bool,
    /// A restart takes another number of cores.
    pub rescale: bool,
    /// The clock jumps.
    pub clock_jumps: bool,
    /// The sink has no room now and then.
    pub slow_sink: bool,
    /// Sources have nothing to give now and then.
    pub slow_source: bool,
    /// How checkpoints are taken.
    pub checkpoints: Checkpointing,
    /// How many cores run the job, where it is always the same.
    pub cores: u32,
    /// The job's max parallelism.
    pub key_groups: u32,
    /// How often the process may be started with trouble; then once more without.
    pub lives: u32,
}

/// How a run takes its checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpointing {
    /// From one to the next, in simulated time.
    pub interval: Span,
    /// Before one is given up.
    pub timeout: Span,
    /// Between two.
    pub min_pause: Span,
    /// How many may fail in a row.
    pub tolerable_failures: u32,
    /// How many are kept.
    pub retain: u32,
}

impl Checkpointing {
    /// Longer than any checkpoint takes.
    pub const TIMEOUT_NEVER: Span = Span(1_000_000_000_000);
}

impl Swarm {
    /// Draws what may go wrong.
    pub fn draw(random: &mut Random) -> Self {
        let mut on = |numerator, denominator| random.chance(numerator, denominator);
        let (crashes, torn_writes, lost_names) = (on(3, 4), on(1, 2), on(1, 2));
        let (disk_full, disk_errors, rot) = (on(1, 4), on(1, 4), on(1, 4));
        let (panics, rescale, clock_jumps) = (on(1, 3), on(1, 2), on(1, 4));
        let (slow_sink, slow_source) = (on(1, 2), on(1, 2));
        // Most intervals are short against the length of a run, so that each has many checkpoints.
        let interval = Span(20_000 << random.below(6));
        let timeout =
            if random.chance(1, 6) { interval.0 * 2 } else { Checkpointing::TIMEOUT_NEVER.0 };
        let checkpoints = Checkpointing {
            interval,
            timeout: Span(timeout),
            min_pause: Span(random.below(3) as i64 * interval.0 / 4),
            tolerable_failures: if disk_full
                || disk_errors
                || timeout < Checkpointing::TIMEOUT_NEVER.0
            {
                random.below(4) as u32
            } else {
                0
            },
            retain: 1 + random.below(3) as u32,
        };
        Self {
            crashes,
            torn_writes,
            lost_names,
            disk_full,
            disk_errors,
            rot,
            panics,
            rescale,
            clock_jumps,
            slow_sink,
            slow_source,
            checkpoints,
            cores: 1 + random.below(4) as u32,
            key_groups: 4 << random.below(6),
            lives: 1 + random.below(5) as u32,
        }
    }
}

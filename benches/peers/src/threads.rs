//! Pinned threads that start together, and the wait for a ring that is full or empty.

use core_affinity::CoreId;
use std::sync::Barrier;
use std::time::Instant;

/// Empty polls before the core is offered to others: about 10 us, above any wait between cores
/// that both run, and far below a time slice.
const SPINS_MAX: u32 = 1 << 10;

/// Counts polls in vain: spins at first, then yields, for machines with more threads than cores.
#[derive(Default)]
pub struct Idle {
    spins: u32,
}

impl Idle {
    /// After a poll that found something.
    #[inline(always)]
    pub fn reset(&mut self) {
        self.spins = 0;
    }

    /// After a poll in vain.
    #[inline]
    pub fn wait(&mut self) {
        if self.spins < SPINS_MAX {
            self.spins += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// The cores for `count` threads, or none when the machine has fewer and pinning would hurt.
pub fn cores_for(count: usize) -> Vec<Option<CoreId>> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() < count {
        return vec![None; count];
    }
    cores.into_iter().take(count).map(Some).collect()
}

/// Pins the calling thread; a refusal costs only repeatability, so it is not an error.
pub fn pin(core: Option<CoreId>) {
    if let Some(core) = core {
        core_affinity::set_for_current(core);
    }
}

/// A thread's result with the moments at which it began and ended its work.
pub struct Timed<T> {
    began: Instant,
    ended: Instant,
    result: T,
}

/// Times `work` once every thread has reached `start_line`.
pub fn timed<T>(start_line: &Barrier, work: impl FnOnce() -> T) -> Timed<T> {
    start_line.wait();
    let began = Instant::now();
    let result = work();
    Timed { began, ended: Instant::now(), result }
}

/// The seconds from the first beginning to the last end, and the results.
pub fn collect<T>(parts: Vec<Timed<T>>) -> (f64, Vec<T>) {
    let began = parts.iter().map(|part| part.began).min().expect("at least one thread");
    let ended = parts.iter().map(|part| part.ended).max().expect("at least one thread");
    let results = parts.into_iter().map(|part| part.result).collect();
    (ended.duration_since(began).as_secs_f64(), results)
}

/// Runs one pinned thread for each seed: `prepare` is not timed, `work` is.
pub fn run<S, P, T>(
    seeds: Vec<S>,
    prepare: impl Fn(usize, S) -> P + Sync,
    work: impl Fn(P) -> T + Sync,
) -> (f64, Vec<T>)
where
    S: Send,
    T: Send,
{
    let start_line = Barrier::new(seeds.len());
    let cores = cores_for(seeds.len());
    let (start_line, prepare, work) = (&start_line, &prepare, &work);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = seeds
            .into_iter()
            .zip(cores)
            .enumerate()
            .map(|(index, (seed, core))| {
                scope.spawn(move || {
                    pin(core);
                    let prepared = prepare(index, seed);
                    timed(start_line, || work(prepared))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker panicked")).collect()
    });
    collect(parts)
}

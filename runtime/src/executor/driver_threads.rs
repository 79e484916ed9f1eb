//! Drives a core's tasks on a plain thread: the loop that every core of the job turns in.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use tailwater_core::Result;
use tailwater_network::Parker;
use tailwater_operators::Waker;

use super::duty_cycle::DutyCycle;
use super::{CoreOutcome, Shared};
use crate::clock::SystemClock;
use crate::config::Idle;
use crate::control::Mode;
use crate::graph::Graph;
use crate::latency::Floor;
use crate::task::Progress;

/// Empty rounds before a core yields or sleeps: at some 20 ns each, about the time a record takes
/// to arrive from another core.
const EMPTY_ROUNDS_BEFORE_IDLE: u32 = 64;
/// The longest sleep. Sources without a waker and paces are looked at this often.
const SLEEP_MAX: Duration = Duration::from_millis(1);
/// How often the housekeeping of a driver runs while the core is busy, in nanoseconds: a round of
/// the reactor takes some 8 us, which every millisecond would be nearly a hundredth of the core.
const HOUSEKEEPING_NS: u64 = 5_000_000;

pub(super) fn run(
    shared: &Shared,
    graph: &Graph,
    core: u32,
    parker: Arc<Parker>,
    all_ready: &Barrier,
) -> Result<CoreOutcome> {
    if let Some(cpu) = shared.placement.cpu(core) {
        core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    }
    run_loop(shared, graph, core, &parker, all_ready, || {})
}

/// The loop of a data core; `housekeeping` is called every five milliseconds.
pub(super) fn run_loop(
    shared: &Shared,
    graph: &Graph,
    core: u32,
    parker: &Arc<Parker>,
    all_ready: &Barrier,
    mut housekeeping: impl FnMut(),
) -> Result<CoreOutcome> {
    let mut floor = Floor::default();
    floor.measure(&*shared.clock, shared.local.floor_measurement);
    all_ready.wait();
    let idle = shared.local.idle;
    let waker = match idle {
        Idle::Park => {
            let parker = parker.clone();
            Waker::new(move || parker.wake())
        }
        Idle::Spin | Idle::Yield => Waker::none(),
    };
    // No record flows before every core has opened its tasks, so that an input or output that
    // cannot be opened, or a checkpoint that does not fit, stops the job before its first record.
    let tasks = shared.open_tasks(graph, core, waker).unwrap_or_else(|error| {
        shared.control.fail(error);
        Vec::new()
    });
    all_ready.wait();
    if core == 0 {
        shared.all_opened();
        // From here on time is read in every round; before, cores have better things to do.
        SystemClock::warm_up();
    }
    // The verdict of the first core.
    all_ready.wait();
    shared.ready_ns.get_or_init(|| shared.clock.monotonic_ns());
    let mut cycle = DutyCycle::new(tasks, shared.cores[core as usize].clone(), floor);
    let mut empty_rounds = 0;
    let mut housekeeping_due_ns = 0;
    loop {
        let now_ns = shared.clock.monotonic_ns();
        let progress = cycle.round(shared, now_ns)?;
        if progress == Progress::Done {
            break;
        }
        if now_ns >= housekeeping_due_ns {
            housekeeping();
            housekeeping_due_ns = now_ns + HOUSEKEEPING_NS;
        }
        if progress == Progress::Worked {
            empty_rounds = 0;
            continue;
        }
        empty_rounds += 1;
        if empty_rounds < EMPTY_ROUNDS_BEFORE_IDLE {
            std::hint::spin_loop();
            continue;
        }
        match (idle, progress) {
            (Idle::Spin, _) => std::hint::spin_loop(),
            // Who takes records out of a full ring does not wake the one who waits for room.
            (Idle::Yield, _) | (Idle::Park, Progress::Blocked) => std::thread::yield_now(),
            (Idle::Park, _) => sleep(shared, parker, &mut cycle)?,
        }
    }
    Ok(CoreOutcome { floor: cycle.floor })
}

/// Sleeps unless one more round, after the sleep was announced, finds something.
fn sleep(shared: &Shared, parker: &Parker, cycle: &mut DutyCycle) -> Result<()> {
    let mut last_look = Ok(Progress::Idle);
    parker.sleep(SLEEP_MAX, || {
        last_look = cycle.round(shared, shared.clock.monotonic_ns());
        !matches!(last_look, Ok(Progress::Idle | Progress::Blocked))
            || shared.control.mode() == Mode::Aborted
    });
    last_look.map(|_| ())
}

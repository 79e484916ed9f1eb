//! Drives a core's tasks inside a glommio executor. The only file that knows glommio.
//!
//! glommio 0.9 gives the thread its placement and runs control tasks and file I/O. It does not
//! schedule records: the loop of the core is ours, and every five milliseconds it gives the
//! reactor one round on purpose ([`LocalExecutor::run`] of an empty future; some 8 us). Two
//! settings keep a hang of 0.9.0 out of reach, in which the preemption timer fires between being
//! armed and being looked at and the executor parks with runnable tasks: a preemption timer of an
//! hour, and no latency-bound queues.

use std::io;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use tailwater_core::{Error, Result};
use tailwater_network::Parker;

use super::driver_threads::run_loop;
use super::{CoreOutcome, Shared, WAITS_FOR_ALL};
use crate::config::Driver;
use crate::graph::Graph;
use crate::latency::Floor;

/// Longer than any run of the reactor: the timer must never fire (see the head of this file).
const PREEMPT_TIMER: Duration = Duration::from_secs(3600);
/// Registered buffers of an executor, in bytes; small enough for the usual limit of locked memory.
const IO_MEMORY: usize = 1 << 20;

/// The driver that was asked for, while it is being tried out.
pub(super) struct Choice {
    wanted: Driver,
    /// On a thread of its own: an executor that was made leaves its marks on the thread that made
    /// it, and takes some milliseconds.
    probe: Option<io::Result<JoinHandle<Result<(), String>>>>,
}

/// Tries out whether io_uring is allowed, where glommio is wanted.
pub(super) fn choose(wanted: Driver) -> Choice {
    let probe = (wanted == Driver::Glommio).then(|| {
        std::thread::Builder::new()
            .name("tailwater-probe".to_owned())
            .spawn(|| executor(Placement::Unbound).map(drop).map_err(|error| error.to_string()))
    });
    Choice { wanted, probe }
}

impl Choice {
    /// Waits for the outcome. Takes plain threads instead of glommio where io_uring is not allowed,
    /// and says so.
    pub fn wait(self, warnings: &mut Vec<String>) -> Driver {
        let Some(probe) = self.probe else { return self.wanted };
        let refused = match probe.map(JoinHandle::join) {
            Ok(Ok(Ok(()))) => return Driver::Glommio,
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => "the executor panicked".to_owned(),
            Err(error) => error.to_string(),
        };
        warnings.push(format!(
            "io_uring cannot be used here ({refused}): the job runs on plain threads instead of \
             glommio"
        ));
        Driver::Threads
    }
}

pub(super) fn run(
    shared: &Shared,
    graph: &Graph,
    core: u32,
    parker: Arc<Parker>,
    all_ready: &Barrier,
) -> Result<CoreOutcome> {
    let placement = shared.placement.cpu(core).map_or(Placement::Unbound, Placement::Fixed);
    let executor = match executor(placement) {
        Ok(executor) => executor,
        Err(error) => {
            shared.control.fail(error);
            // See `WAITS_FOR_ALL`.
            for _ in 0..WAITS_FOR_ALL {
                all_ready.wait();
            }
            return Ok(CoreOutcome { floor: Floor::default() });
        }
    };
    run_loop(shared, graph, core, &parker, all_ready, || executor.run(async {}))
}

fn executor(placement: Placement) -> Result<LocalExecutor> {
    LocalExecutorBuilder::new(placement)
        .preempt_timer(PREEMPT_TIMER)
        .spin_before_park(PREEMPT_TIMER)
        .io_memory(IO_MEMORY)
        .make()
        .map_err(|error| Error::configuration(format!("cannot make a glommio executor: {error}")))
}

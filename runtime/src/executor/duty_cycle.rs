//! One round of a core: every task once, and the time that it took.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tailwater_core::Result;

use super::{Shared, panic_error};
use crate::control::Mode;
use crate::latency::Floor;
use crate::metrics::CoreGauges;
use crate::task::{Progress, Step, Task};

/// The tasks of one core, and what it spends its time on.
pub(super) struct DutyCycle {
    tasks: Vec<Box<dyn Task>>,
    gauges: CoreGauges,
    /// When the round before began, and what it came to.
    last: Option<(u64, Progress)>,
    longest_round_ns: i64,
    pub(super) floor: Floor,
}

impl DutyCycle {
    pub(super) fn new(tasks: Vec<Box<dyn Task>>, gauges: CoreGauges, floor: Floor) -> Self {
        Self { tasks, gauges, last: None, longest_round_ns: 0, floor }
    }

    /// Steps every task once. [`Progress::Done`] when none is left.
    pub(super) fn round(&mut self, shared: &Shared, now_ns: u64) -> Result<Progress> {
        self.account(now_ns);
        let step = shared.step(now_ns, shared.local.batch_max);
        let mut progress = Progress::Done;
        let mut index = 0;
        while let Some(task) = self.tasks.get_mut(index) {
            let stepped = step_task(task, &step)?;
            progress = progress.max(stepped);
            if stepped == Progress::Done {
                shared.note_state();
                self.tasks.remove(index);
            } else {
                index += 1;
            }
        }
        self.last = Some((now_ns, progress));
        Ok(progress)
    }

    /// Steps one task only, for drivers that choose the order.
    pub(super) fn step_one(
        &mut self,
        shared: &Shared,
        index: usize,
        step: &Step,
    ) -> Result<Progress> {
        let progress = step_task(&mut self.tasks[index], step)?;
        if progress == Progress::Done {
            shared.note_state();
            self.tasks.remove(index);
        }
        Ok(progress)
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Books the time since the round before to what that round came to.
    fn account(&mut self, now_ns: u64) {
        let Some((began_ns, progress)) = self.last else { return };
        let took_ns = now_ns.saturating_sub(began_ns);
        match progress {
            Progress::Worked => {
                self.gauges.busy_ns.add(took_ns);
                if took_ns as i64 > self.longest_round_ns {
                    self.longest_round_ns = took_ns as i64;
                    self.gauges.longest_round_ns.set(took_ns as i64);
                }
                self.floor.interrupt();
            }
            Progress::Blocked => {
                self.gauges.blocked_ns.add(took_ns);
                self.floor.interrupt();
            }
            Progress::Idle | Progress::Done => {
                self.gauges.idle_ns.add(took_ns);
                self.floor.tick(now_ns);
            }
        }
    }
}

fn step_task(task: &mut Box<dyn Task>, step: &Step) -> Result<Progress> {
    if step.mode == Mode::Aborted {
        return Ok(Progress::Done);
    }
    // After a panic the task is never stepped again, so nobody sees what it left half done.
    match catch_unwind(AssertUnwindSafe(|| task.step(step))) {
        Ok(stepped) => {
            stepped.map_err(|error| error.context(format!("task `{}` failed", task.name())))
        }
        Err(payload) => Err(panic_error(task.name(), &*payload)),
    }
}

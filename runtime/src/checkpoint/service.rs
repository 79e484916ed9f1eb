//! Takes in what tasks hand over, has it stored, and tells them what is complete. Owns the
//! coordinator and the store.
//!
//! An actor with a bounded `step`: a thread of its own drives it, or the seeded driver between the
//! steps of tasks. Nothing of an earlier attempt of the job can reach it: each attempt has its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use tailwater_core::{Clock, Error, Fault, Result, fault};
use tailwater_state::checkpoint::{CheckpointWriter, Checkpoints, TaskNumbers};
use tailwater_state::{Chunk, SnapshotKind, SnapshotParts, StateValue};

use super::coordinator::{Action, Coordinator, Event, Timing};
use super::port::{Message, Register, Registered, Told};
use super::summary::Summary;
use crate::control::{Control, Mode};
use crate::task::Progress;

/// Messages that a step takes: at most so many times half a megabyte are written before time is
/// looked at again.
const MESSAGES_A_STEP: usize = 16;
/// The longest wait for a message; times of the coordinator are looked at this often.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// The service of one attempt of a job.
pub(crate) struct Service {
    control: Arc<Control>,
    register: Arc<Register>,
    receiver: Receiver<Message>,
    store: Checkpoints,
    /// The number of its first checkpoint.
    first: u64,
    clock: Arc<dyn Clock>,
    timing: Timing,
    summary: Summary,
    /// There from the moment at which all tasks are known.
    running: Option<Running>,
    /// A message that was waited for.
    waited: Option<Message>,
    wanted_seen: u64,
    actions: Vec<Action>,
}

struct Running {
    coordinator: Coordinator,
    tasks: Vec<Registered>,
    /// The checkpoint in flight.
    writer: Option<CheckpointWriter>,
    /// What the states of each task are called in it, once the task has taken its barrier.
    numbers: Vec<Option<TaskNumbers>>,
    /// When its barrier was sent, by the wall clock.
    began_at: i64,
    /// The tasks are gone: nothing will come any more.
    is_alone: bool,
}

impl Service {
    pub fn new(
        (register, receiver): (Arc<Register>, Receiver<Message>),
        control: Arc<Control>,
        (store, first): (Checkpoints, u64),
        clock: Arc<dyn Clock>,
        timing: Timing,
        summary: Summary,
    ) -> Self {
        let wanted_seen = control.wanted();
        Self {
            control,
            register,
            receiver,
            store,
            first,
            clock,
            timing,
            summary,
            running: None,
            waited: None,
            wanted_seen,
            actions: Vec::new(),
        }
    }

    /// A bounded piece of work: some messages, a file that is made durable, or some tidying.
    pub fn step(&mut self) -> Progress {
        if self.control.mode() == Mode::Aborted {
            return Progress::Done;
        }
        let Some(mut running) = self.running.take().or_else(|| self.start()) else {
            return Progress::Idle;
        };
        let progress = self.run(&mut running);
        self.running = Some(running);
        progress
    }

    /// Waits for a message, some time at most.
    pub fn wait(&mut self) {
        match self.receiver.recv_timeout(WAIT_MAX) {
            Ok(message) => self.waited = Some(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                if let Some(running) = &mut self.running {
                    running.is_alone = true;
                }
            }
        }
    }

    fn start(&mut self) -> Option<Running> {
        let tasks = self.register.take()?;
        let names = tasks.iter().map(|task| format!("{} on core {}", task.name, task.core));
        let kind = self.store.next_kind();
        let (first, now_ns) = (self.first, self.clock.monotonic_ns());
        let coordinator = Coordinator::new(self.timing, names.collect(), (first, kind), now_ns);
        let numbers = tasks.iter().map(|_| None).collect();
        Some(Running { coordinator, tasks, writer: None, numbers, began_at: 0, is_alone: false })
    }

    fn run(&mut self, running: &mut Running) -> Progress {
        let mut progress = Progress::Idle;
        for _ in 0..MESSAGES_A_STEP {
            let message = match self.waited.take() {
                Some(message) => message,
                None => match self.receiver.try_recv() {
                    Ok(message) => message,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        running.is_alone = true;
                        break;
                    }
                },
            };
            progress = Progress::Worked;
            if let Told::Acknowledged { checkpoint, .. } = &message.told
                && fault(Fault::CommitBeforeManifest)
            {
                self.control.complete(*checkpoint, false);
            }
            if let Some(event) = running.take_in(message, &self.summary) {
                self.tell(running, event);
            }
        }
        if running.is_alone && progress == Progress::Idle {
            // What is worth merging is merged by the run that goes on from here.
            return Progress::Done;
        }
        let wanted = self.control.wanted();
        if wanted != self.wanted_seen {
            self.wanted_seen = wanted;
            self.tell(running, Event::Requested);
        }
        if self.clock.monotonic_ns() >= running.coordinator.wakes_ns() {
            self.tell(running, Event::Tick);
            progress = Progress::Worked;
        }
        if progress == Progress::Idle && self.merge() { Progress::Worked } else { progress }
    }

    /// Does some merging, if there is something to merge. A merge that fails is begun again after a
    /// later checkpoint, so it is told but stops nothing.
    fn merge(&mut self) -> bool {
        match self.store.merge_step() {
            Ok(worked) => worked,
            Err(error) => {
                self.summary.note(|report| report.last_warning = Some(error.to_string()));
                false
            }
        }
    }

    /// Tells the coordinator, and does what it says until nothing is left to do.
    fn tell(&mut self, running: &mut Running, event: Event) {
        let mut actions = std::mem::take(&mut self.actions);
        running.coordinator.on(event, self.clock.monotonic_ns(), &mut actions);
        while !actions.is_empty() {
            let action = actions.remove(0);
            if let Some(event) = self.act(running, action) {
                running.coordinator.on(event, self.clock.monotonic_ns(), &mut actions);
            }
        }
        self.actions = actions;
    }

    fn act(&mut self, running: &mut Running, action: Action) -> Option<Event> {
        match action {
            Action::Begin { checkpoint, kind } => {
                running.numbers.fill(None);
                match self.store.begin(checkpoint, kind) {
                    Ok(writer) => running.writer = Some(writer),
                    Err(error) => return Some(Event::NotStored { checkpoint, error }),
                }
                running.began_at = self.clock.wall().0;
                self.control.begin_checkpoint(checkpoint, kind == SnapshotKind::Full);
                None
            }
            Action::Store { checkpoint } => {
                let writer = running.writer.take()?;
                match self.store.complete(writer, running.began_at) {
                    Ok(completed) => {
                        self.summary.on_stored(&completed);
                        let next = self.store.next_kind();
                        Some(Event::Stored { checkpoint, next })
                    }
                    Err(error) => Some(Event::NotStored { checkpoint, error }),
                }
            }
            Action::Complete { checkpoint, last, duration_ns } => {
                self.summary.on_completed(checkpoint, duration_ns);
                self.control.complete(checkpoint, last);
                None
            }
            Action::Abandon { checkpoint, why } => {
                running.writer = None;
                self.summary.on_failed(format!("checkpoint {checkpoint}: {why}"));
                None
            }
            Action::Fail(error) => {
                self.control.fail(error);
                None
            }
        }
    }
}

impl Running {
    /// Takes in what a task tells; what it means for the coordinator.
    fn take_in(&mut self, message: Message, summary: &Summary) -> Option<Event> {
        let Message { task, told } = message;
        let (of, outcome) = match told {
            Told::Cut { checkpoint, parts } => (checkpoint, self.on_cut(task, checkpoint, parts)),
            Told::Chunks { checkpoint, chunks } => {
                let outcome = self.on_chunks(task, checkpoint, &chunks);
                // Where the task is gone its buffers are not wanted back.
                let _ = self.tasks[task as usize].buffers.send(chunks);
                (checkpoint, outcome)
            }
            Told::Acknowledged { checkpoint, late, stats } => {
                summary.on_task(stats);
                (checkpoint, self.on_acknowledged(task, checkpoint, late))
            }
            Told::Ended => return Some(Event::Ended { task }),
        };
        match outcome {
            Ok(event) => event,
            Err(error) => Some(Event::NotStored { checkpoint: of, error }),
        }
    }

    /// What is being written, if that is this checkpoint. What comes of one that was given up is
    /// dropped.
    fn writer_of(&mut self, checkpoint: u64) -> Option<&mut CheckpointWriter> {
        self.writer.as_mut().filter(|writer| writer.checkpoint() == checkpoint)
    }

    fn on_cut(&mut self, task: u32, of: u64, parts: SnapshotParts) -> Result<Option<Event>> {
        let core = self.tasks[task as usize].core;
        let Some(writer) = self.writer_of(of) else { return Ok(None) };
        let numbers = writer.parts(core, &parts)?;
        self.numbers[task as usize] = Some(numbers);
        Ok(Some(Event::Cut { checkpoint: of, unions: parts.unions }))
    }

    fn on_chunks(&mut self, task: u32, of: u64, chunks: &[Chunk]) -> Result<Option<Event>> {
        let numbers = self.numbers[task as usize].take();
        if let Some(writer) = self.writer_of(of) {
            let numbers = numbers.as_ref().ok_or_else(|| {
                Error::internal("entries came before the barrier that they belong to")
            })?;
            chunks.iter().try_for_each(|chunk| writer.chunk(numbers, chunk))?;
        }
        self.numbers[task as usize] = numbers;
        Ok(None)
    }

    fn on_acknowledged(
        &mut self,
        task: u32,
        checkpoint: u64,
        late: Vec<StateValue>,
    ) -> Result<Option<Event>> {
        let core = self.tasks[task as usize].core;
        let Some(writer) = self.writer_of(checkpoint) else { return Ok(None) };
        writer.parts(core, &SnapshotParts { values: late, ..SnapshotParts::default() })?;
        Ok(Some(Event::Acknowledged { task, checkpoint }))
    }
}

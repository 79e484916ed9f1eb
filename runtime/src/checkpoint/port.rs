//! Between the tasks of a job and its checkpoint service: what tasks hand over, and the buffers
//! that come back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_state::snapshot::{SnapshotParts, StateValue};
use tailwater_state::{CHUNK_BYTES, Chunk, Drain, SnapshotKind};

use crate::control::Control;

/// Small chunks go together in a message of so many bytes.
const MESSAGE_BYTES: usize = CHUNK_BYTES;
/// Messages with chunks of one task that the service has not written yet, at which the task drains
/// no more: 8 MiB.
const UNDER_WAY_MAX: usize = 16;

/// What a task tells the service.
#[derive(Debug)]
pub(crate) struct Message {
    /// Which task, by its number in the [`Register`].
    pub task: u32,
    /// What happened there.
    pub told: Told,
}

/// What happened in a task.
#[derive(Debug)]
pub(crate) enum Told {
    /// The barrier was taken: the small states, and which tracked states will be drained.
    Cut { checkpoint: u64, parts: SnapshotParts },
    /// Entries of tracked states.
    Chunks { checkpoint: u64, chunks: Vec<Chunk> },
    /// All is handed over; with what became known after the barrier: a sink's transactions.
    Acknowledged { checkpoint: u64, late: Vec<StateValue>, stats: TaskStats },
    /// All input is worked off.
    Ended,
}

/// What a checkpoint cost one task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskStats {
    /// From the first barrier of its inputs to the last.
    pub alignment_ns: u64,
    /// For how long the task did nothing else at the barrier.
    pub pause_ns: u64,
    /// From the barrier to the last chunk.
    pub drain_ns: u64,
    /// Of its chunks.
    pub bytes: u64,
    /// Whether the barrier had to wait for the drain of the one before.
    pub forced: bool,
}

/// A task as the service knows it.
#[derive(Debug)]
pub(crate) struct Registered {
    pub name: Arc<str>,
    pub core: u32,
    /// Takes chunks back, for their buffers.
    pub buffers: Sender<Vec<Chunk>>,
}

/// Where the tasks of one attempt make themselves known before the first record.
#[derive(Debug)]
pub(crate) struct Register {
    control: Arc<Control>,
    entries: Mutex<(Vec<Registered>, Option<Sender<Message>>)>,
    complete: AtomicBool,
}

impl Register {
    /// An empty one, and the end that the service reads.
    pub fn new(control: Arc<Control>) -> (Arc<Self>, Receiver<Message>) {
        let (sender, receiver) = mpsc::channel();
        let entries = Mutex::new((Vec::new(), Some(sender)));
        (Arc::new(Self { control, entries, complete: AtomicBool::new(false) }), receiver)
    }

    /// A task's port.
    pub fn add(&self, name: &Arc<str>, core: u32) -> Port {
        let (buffers, returned) = mpsc::channel();
        let (tasks, sender) = &mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.clone().expect("tasks are opened before the service starts");
        tasks.push(Registered { name: name.clone(), core, buffers });
        let task = tasks.len() as u32 - 1;
        Port {
            control: self.control.clone(),
            task,
            sender,
            returned,
            gathered: Vec::new(),
            gathered_bytes: 0,
            under_way: 0,
            last_full: 0,
        }
    }

    /// All tasks of all cores have been added.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// The tasks, once all are there. Only they can reach the service from then on, so that it
    /// notices when the last of them is gone.
    pub fn take(&self) -> Option<Vec<Registered>> {
        if !self.complete.load(Ordering::Acquire) {
            return None;
        }
        let (tasks, sender) = &mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        *sender = None;
        Some(std::mem::take(tasks))
    }
}

/// A task's way to the service.
#[derive(Debug)]
pub(crate) struct Port {
    control: Arc<Control>,
    task: u32,
    sender: Sender<Message>,
    returned: Receiver<Vec<Chunk>>,
    /// Chunks for the next message.
    gathered: Vec<Chunk>,
    gathered_bytes: usize,
    under_way: usize,
    /// The last checkpoint for which all entries were handed over.
    last_full: u64,
}

impl Port {
    /// How much a checkpoint is to hold. Asked once for each that is taken.
    pub fn kind(&mut self, checkpoint: u64) -> SnapshotKind {
        let full_from = self.control.full_from();
        if self.last_full < full_from && full_from <= checkpoint {
            self.last_full = checkpoint;
            return SnapshotKind::Full;
        }
        SnapshotKind::Incremental
    }

    /// Whether the service keeps up.
    pub fn has_room(&self) -> bool {
        self.under_way < UNDER_WAY_MAX
    }

    /// Gives the buffers that came back to `drain`.
    pub fn collect_buffers(&mut self, drain: &mut Drain) {
        while let Ok(chunks) = self.returned.try_recv() {
            self.under_way -= 1;
            chunks.into_iter().for_each(|chunk| drain.give_back(chunk.bytes));
        }
    }

    /// Hands over what was written at the barrier.
    pub fn cut(&self, checkpoint: u64, parts: SnapshotParts) {
        self.tell(Told::Cut { checkpoint, parts });
    }

    /// Hands over entries, with what else comes before [`flush`](Port::flush).
    pub fn chunk(&mut self, checkpoint: u64, chunk: Chunk) {
        self.gathered_bytes += chunk.bytes.len();
        self.gathered.push(chunk);
        if self.gathered_bytes >= MESSAGE_BYTES {
            self.flush(checkpoint);
        }
    }

    /// Hands over all entries that wait for others.
    pub fn flush(&mut self, checkpoint: u64) {
        if self.gathered.is_empty() {
            return;
        }
        let next = Vec::with_capacity(self.gathered.len());
        let chunks = std::mem::replace(&mut self.gathered, next);
        self.gathered_bytes = 0;
        self.under_way += 1;
        self.tell(Told::Chunks { checkpoint, chunks });
    }

    /// All was handed over.
    pub fn acknowledge(&self, checkpoint: u64, late: Vec<StateValue>, stats: TaskStats) {
        self.tell(Told::Acknowledged { checkpoint, late, stats });
    }

    /// All input is worked off.
    pub fn ended(&self) {
        self.tell(Told::Ended);
    }

    fn tell(&self, told: Told) {
        // Where the service is gone the job has been aborted.
        let _ = self.sender.send(Message { task: self.task, told });
    }
}

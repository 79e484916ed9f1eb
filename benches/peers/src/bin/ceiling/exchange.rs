//! The two-core form: each core generates half of the input and owns half of the keys.
//!
//! ```text
//! core 0: generate -> partition -> own half  -> aggregate      core 1: the same, mirrored
//!                          |                        ^
//!                          +-> ring 0 -> core 1     +-- ring 1 <- core 1
//! ```

use peers::threads::Idle;
use rtrb::{Consumer, Producer, RingBuffer};
use std::ops::Range;

/// Consecutive indices that one core generates before the next ones fall to the other: block `b`
/// belongs to core `b % 2`. Long enough to publish a ring once in a while, short enough that the
/// block stays in the first-level cache.
pub const BLOCK_LEN: usize = 1024;
/// Bounds how far one core may run ahead of the other: a few blocks.
const RING_LEN: usize = 8 * BLOCK_LEN;

/// One core's part of a workload.
pub trait Core {
    /// What is exchanged.
    type Record: Copy + Default;

    /// Generates one block of indices into the two halves, control records included.
    fn generate(&mut self, block: Range<u64>, halves: &mut Halves<Self::Record>);

    /// Aggregates records that this core owns, in the order in which their origin sent them.
    fn add_all(&mut self, records: &[Self::Record]);
}

/// A generated block, split into what this core owns (0) and what its peer owns (1).
pub struct Halves<T> {
    records: Box<[[T; HALF_LEN]; 2]>,
    lens: [usize; 2],
}

/// Room for a whole block and its control record; a power of two, so that an index is masked.
const HALF_LEN: usize = 2 * BLOCK_LEN;
const _: () = assert!(HALF_LEN.is_power_of_two() && HALF_LEN > BLOCK_LEN);

impl<T: Copy + Default> Halves<T> {
    fn new() -> Self {
        Self { records: Box::new([[T::default(); HALF_LEN]; 2]), lens: [0; 2] }
    }

    /// Appends to a half without a branch: which half comes next cannot be predicted.
    #[inline(always)]
    pub fn push(&mut self, half: usize, record: T) {
        let half = half & 1;
        self.records[half][self.lens[half] & (HALF_LEN - 1)] = record;
        self.lens[half] += 1;
    }

    fn half(&self, half: usize) -> &[T] {
        &self.records[half][..self.lens[half]]
    }
}

/// The ends of the two rings that a core holds.
pub struct Ends<T> {
    outbound: Producer<T>,
    inbound: Consumer<T>,
}

/// Connects two cores with a ring in each direction.
pub fn connect<T>() -> Vec<Ends<T>> {
    let (producer_0, consumer_1) = RingBuffer::new(RING_LEN);
    let (producer_1, consumer_0) = RingBuffer::new(RING_LEN);
    vec![
        Ends { outbound: producer_0, inbound: consumer_0 },
        Ends { outbound: producer_1, inbound: consumer_1 },
    ]
}

/// Runs core `index` of two until all records of both cores have arrived.
pub fn drive<C: Core>(core: &mut C, index: u64, events: u64, ends: Ends<C::Record>) {
    let Ends { mut outbound, mut inbound } = ends;
    let mut halves = Halves::new();
    let mut idle = Idle::default();
    let block_len = BLOCK_LEN as u64;
    for block in (index..events.div_ceil(block_len)).step_by(2) {
        let first = block * block_len;
        core.generate(first..(first + block_len).min(events), &mut halves);
        core.add_all(halves.half(0));
        let mut unsent = halves.half(1);
        loop {
            // The peer may be waiting for room as well, so a full ring must not stop the intake.
            let received = receive(core, &mut inbound);
            unsent = outbound.push_partial_slice(unsent).1;
            if unsent.is_empty() {
                break;
            }
            if received { idle.reset() } else { idle.wait() }
        }
        halves.lens = [0; 2];
    }
    drop(outbound);
    loop {
        // Asked before the last look, so that nothing can arrive between the two.
        let ended = inbound.is_abandoned();
        match (receive(core, &mut inbound), ended) {
            (true, _) => idle.reset(),
            (false, true) => return,
            (false, false) => idle.wait(),
        }
    }
}

fn receive<C: Core>(core: &mut C, inbound: &mut Consumer<C::Record>) -> bool {
    let Ok(chunk) = inbound.read_chunk(inbound.slots()) else { return false };
    if chunk.is_empty() {
        return false;
    }
    let (first, second) = chunk.as_slices();
    core.add_all(first);
    core.add_all(second);
    chunk.commit_all();
    true
}

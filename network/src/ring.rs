//! The single-producer single-consumer ring: records are written in place, published in batches,
//! and moved out in runs.
//!
//! ```text
//!            head              tail           written
//!   ..free..  | published       | not yet      |  ..free..       indices only grow;
//!             consumer moves    producer publishes               slot = index & mask
//! ```
//!
//! The producer owns the slots from `tail` to `head + capacity`, the consumer those from `head` to
//! `tail`. Each side hands slots over with a release store of its index, which the other reads with
//! acquire. Each keeps the other's index as it last saw it, so that the shared line is read only
//! when that is used up.
//!
//! This ring rather than a published one because a batch is neither staged before it nor copied out
//! of it element by element: moving 32-byte records between two tasks costs less than half
//! (`benches/ring.rs`).
#![allow(unsafe_code)] // Slots are uninitialised memory that two threads take turns to own.

use std::mem::MaybeUninit;

use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

/// Keeps an index away from its neighbours: two lines, because processors fetch lines in pairs.
#[repr(align(128))]
#[derive(Debug)]
struct Padded<T>(T);

#[derive(Debug)]
struct Shared<T> {
    /// Records moved out; written by the consumer.
    head: Padded<AtomicUsize>,
    /// Records published; written by the producer.
    tail: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    mask: usize,
}

// SAFETY: a slot is accessed by one side at a time, as the head of this file argues; a `T` moves
// from the producer's thread to the consumer's, which `T: Send` allows.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; nothing in it is tied to a thread.
unsafe impl<T: Send> Send for Shared<T> {}

/// The writing end.
#[derive(Debug)]
pub struct Producer<T> {
    ring: Arc<Shared<T>>,
    /// The index after the last record written; ahead of the shared tail by those not yet
    /// published.
    written: usize,
    published: usize,
    /// The index that must not be reached: the head as last seen, plus the capacity.
    limit: usize,
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer<T> {
    ring: Arc<Shared<T>>,
    head: usize,
    /// The tail as last seen.
    tail: usize,
}

/// A ring with room for at least `capacity` records.
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let slots = capacity.max(1).next_power_of_two();
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        mask: slots - 1,
    });
    let producer = Producer { ring: shared.clone(), written: 0, published: 0, limit: slots };
    (producer, Consumer { ring: shared, head: 0, tail: 0 })
}

impl<T> Producer<T> {
    /// How many more records fit. Looks at the consumer's progress only when there seems to be no
    /// room.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.written == self.limit {
            self.look_at_head();
        }
        self.limit.wrapping_sub(self.written)
    }

    #[cold]
    fn look_at_head(&mut self) {
        // Acquire: pairs with the release in `advance`; the slots before it have been moved out.
        let head = self.ring.head.0.load(Ordering::Acquire);
        self.limit = head.wrapping_add(self.ring.slots.len());
    }

    /// Writes a record behind the others, to be seen after the next [`publish`](Producer::publish).
    ///
    /// # Errors
    /// Gives the record back when the ring is full.
    #[inline]
    pub fn write(&mut self, record: T) -> Result<(), T> {
        if self.written == self.limit {
            self.look_at_head();
            if self.written == self.limit {
                return Err(record);
            }
        }
        let index = self.written & self.ring.mask;
        debug_assert!(index < self.ring.slots.len());
        // SAFETY: the mask is one less than the number of slots, a power of two.
        let slot = unsafe { self.ring.slots.get_unchecked(index) };
        slot.with_mut(|slot| {
            // SAFETY: `written` lies between the published tail and `head + capacity` (it is not
            // the limit), so the producer owns the slot and it holds no record.
            unsafe { (*slot).write(record) };
        });
        self.written = self.written.wrapping_add(1);
        Ok(())
    }

    /// Writes as many records from the front of `batch` as there is room for; the rest stays in it.
    #[inline]
    pub fn write_all(&mut self, batch: &mut Vec<T>) -> usize {
        if self.limit.wrapping_sub(self.written) < batch.len() {
            self.look_at_head();
        }
        let count = batch.len().min(self.limit.wrapping_sub(self.written));
        self.move_in(count, batch);
        self.written = self.written.wrapping_add(count);
        count
    }

    #[cfg(not(loom))]
    #[inline]
    fn move_in(&mut self, count: usize, batch: &mut Vec<T>) {
        let first = self.written & self.ring.mask;
        let before_end = count.min(self.ring.slots.len() - first);
        let left = batch.len() - count;
        let slots = self.ring.slots.as_ptr().cast::<T>().cast_mut();
        // SAFETY: the `count` slots from `written` on lie before the limit, so the producer owns
        // them and they hold no records; they are two runs, up to the end of the slots and from
        // their start. `UnsafeCell<MaybeUninit<T>>` has the layout of `T` and may be written
        // through a shared pointer. The records are moved: the vector forgets them before anybody
        // else can see them, and keeps the ones behind them.
        unsafe {
            let records = batch.as_mut_ptr();
            batch.set_len(0);
            std::ptr::copy_nonoverlapping(records, slots.add(first), before_end);
            std::ptr::copy_nonoverlapping(records.add(before_end), slots, count - before_end);
            std::ptr::copy(records.add(count), records, left);
            batch.set_len(left);
        }
    }

    /// Loom watches each slot for itself.
    #[cfg(loom)]
    fn move_in(&mut self, count: usize, batch: &mut Vec<T>) {
        for (offset, record) in batch.drain(..count).enumerate() {
            let index = self.written.wrapping_add(offset) & self.ring.mask;
            // SAFETY: as in the other form of this function, slot by slot.
            self.ring.slots[index].with_mut(|slot| unsafe { (*slot).write(record) });
        }
    }

    /// Lets the consumer see everything written; `true` when there was something.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.written == self.published {
            return false;
        }
        // Release: pairs with the acquire in `ready`; the records are written before they are seen.
        self.ring.tail.0.store(self.written, Ordering::Release);
        self.published = self.written;
        true
    }

    /// How many records are written and not published.
    #[inline]
    pub fn unpublished(&self) -> usize {
        self.written.wrapping_sub(self.published)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        // What is not published is nobody's to drop but ours; published, it is the ring's.
        self.publish();
    }
}

impl<T> Consumer<T> {
    /// How many records can be taken. Always looks at the producer's progress.
    #[inline]
    pub fn ready(&mut self) -> usize {
        // Acquire: pairs with the release in `publish`.
        self.tail = self.ring.tail.0.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head)
    }

    /// How many records can be taken, without taking note of it.
    pub fn backlog(&self) -> usize {
        self.ring.tail.0.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// The next record, if one has been published.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail && self.ready() == 0 {
            return None;
        }
        let slot = &self.ring.slots[self.head & self.ring.mask];
        // SAFETY: `head` lies before the published tail, so the consumer owns the slot and it holds
        // a record; `advance` makes sure that it is moved out only once.
        let record = slot.with(|slot| unsafe { (*slot).assume_init_read() });
        self.advance(1);
        Some(record)
    }

    /// Moves the next `count` records to the end of `into`.
    ///
    /// # Panics
    /// When fewer were [`ready`](Consumer::ready).
    #[inline]
    pub fn take(&mut self, count: usize, into: &mut Vec<T>) {
        assert!(count <= self.tail.wrapping_sub(self.head), "more records taken than were ready");
        into.reserve(count);
        self.move_out(count, into);
        self.advance(count);
    }

    #[cfg(not(loom))]
    #[inline]
    fn move_out(&self, count: usize, into: &mut Vec<T>) {
        let first = self.head & self.ring.mask;
        let before_end = count.min(self.ring.slots.len() - first);
        let slots = self.ring.slots.as_ptr().cast::<T>();
        let room = into.spare_capacity_mut().as_mut_ptr().cast::<T>();
        // SAFETY: the `count` slots from `head` on lie before the published tail, so the consumer
        // owns them and each holds a record; they are two runs, up to the end of the slots and from
        // their start. `UnsafeCell<MaybeUninit<T>>` has the layout of `T`. `take` reserved room for
        // `count` records, and `advance` makes sure that each is moved out only once.
        unsafe {
            std::ptr::copy_nonoverlapping(slots.add(first), room, before_end);
            std::ptr::copy_nonoverlapping(slots, room.add(before_end), count - before_end);
            into.set_len(into.len() + count);
        }
    }

    /// Loom watches each slot for itself.
    #[cfg(loom)]
    fn move_out(&self, count: usize, into: &mut Vec<T>) {
        for index in self.head..self.head + count {
            let slot = &self.ring.slots[index & self.ring.mask];
            // SAFETY: as in the other form of this function, slot by slot.
            into.push(slot.with(|slot| unsafe { (*slot).assume_init_read() }));
        }
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count);
        // Release: pairs with the acquire in `room`; the records are moved out before their slots
        // are free.
        self.ring.head.0.store(self.head, Ordering::Release);
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let head = self.head.0.load(Ordering::Relaxed);
        let tail = self.tail.0.load(Ordering::Relaxed);
        for index in 0..tail.wrapping_sub(head) {
            let slot = &self.slots[head.wrapping_add(index) & self.mask];
            // SAFETY: both ends are gone, so nobody else accesses the slots; those from head to
            // tail hold records that nobody moved out.
            slot.with_mut(|slot| unsafe { (*slot).assume_init_drop() });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_dropped_once() {
        let counted = std::rc::Rc::new(());
        let (mut producer, mut consumer) = ring(4);
        for _ in 0..4 {
            producer.write(counted.clone()).unwrap();
        }
        assert!(producer.write(counted.clone()).is_err());
        producer.publish();
        assert!(consumer.pop().is_some());
        producer.write(counted.clone()).unwrap();
        assert_eq!((producer.unpublished(), consumer.ready()), (1, 3));
        drop((producer, consumer));
        assert_eq!(std::rc::Rc::strong_count(&counted), 1);
    }

    #[test]
    fn runs_wrap_around_the_end() {
        let (mut producer, mut consumer) = ring(4);
        let mut taken = Vec::new();
        for start in (0..30).step_by(3) {
            (start..start + 3).for_each(|record| producer.write(record).unwrap());
            producer.publish();
            assert_eq!(consumer.ready(), 3);
            consumer.take(3, &mut taken);
        }
        assert_eq!(taken, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_goes_in_as_far_as_there_is_room() {
        let (mut producer, mut consumer) = ring(4);
        let mut batch: Vec<_> = (0..7).map(|number: u32| number.to_string()).collect();
        let mut taken = Vec::new();
        for written in [4, 3, 0] {
            assert_eq!(producer.write_all(&mut batch), written);
            producer.publish();
            let ready = consumer.ready();
            consumer.take(ready, &mut taken);
        }
        assert!(batch.is_empty());
        assert_eq!(taken.join(""), "0123456");
    }
}

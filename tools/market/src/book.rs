//! One symbol's limit order book: price levels of first-in first-out queues, in a few cache lines.
//!
//! ```text
//! ticks      low ............ best bid   best ask ............ low + 63
//! levels[tick % 64]           first -> .. -> last      (slots, by `next` and `prev`)
//! bids, asks                  one bit a level that is not empty
//! orders[slot]                at most 128; `live` has one bit a slot in use
//! ```
//! All orders lie in a window of 64 ticks that moves with the price, so a tick's level is its
//! remainder, and the best level is found by counting zeros.

use crate::event::Side;

/// Prices that a book can hold at a time.
pub(crate) const TICKS: i32 = 64;
/// Orders that a book can hold at a time.
pub(crate) const SLOTS: u8 = 128;
/// No slot.
const NONE: u8 = u8::MAX;

const _: () = assert!(TICKS == u64::BITS as i32 && SLOTS as u32 == u128::BITS && SLOTS < NONE);

/// A resting order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) shares: u32,
    pub(crate) tick: i32,
    pub(crate) side: Side,
    prev: u8,
    next: u8,
}

impl Order {
    pub(crate) fn new(id: u64, side: Side, shares: u32, tick: i32) -> Self {
        Self { id, shares, tick, side, prev: NONE, next: NONE }
    }
}

#[derive(Clone, Copy, Debug)]
struct Level {
    first: u8,
    last: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct Book {
    orders: [Order; SLOTS as usize],
    levels: [Level; TICKS as usize],
    live: u128,
    bids: u64,
    asks: u64,
    low: i32,
}

impl Book {
    /// An empty book for the ticks from `low`, which must not be negative.
    pub(crate) fn new(low: i32) -> Self {
        Self {
            orders: [Order::new(0, Side::Buy, 0, 0); SLOTS as usize],
            levels: [Level { first: NONE, last: NONE }; TICKS as usize],
            live: 0,
            bids: 0,
            asks: 0,
            low,
        }
    }

    /// The lowest tick of the window.
    #[inline]
    pub(crate) fn low(&self) -> i32 {
        self.low
    }

    /// The best price of a side.
    #[inline]
    pub(crate) fn best(&self, side: Side) -> Option<i32> {
        let turn = self.low as u32 % TICKS as u32;
        match side {
            Side::Buy if self.bids != 0 => {
                Some(self.low + 63 - self.bids.rotate_right(turn).leading_zeros() as i32)
            }
            Side::Sell if self.asks != 0 => {
                Some(self.low + self.asks.rotate_right(turn).trailing_zeros() as i32)
            }
            _ => None,
        }
    }

    /// The slot of the order that is first in the queue at a tick.
    #[inline]
    pub(crate) fn first(&self, tick: i32) -> Option<u8> {
        let slot = self.levels[level(tick)].first;
        (slot != NONE).then_some(slot)
    }

    /// The order in a slot, if it is in use.
    #[inline]
    pub(crate) fn order(&self, slot: u8) -> Option<&Order> {
        (self.live >> slot & 1 == 1).then(|| &self.orders[usize::from(slot)])
    }

    /// Puts an order into an empty slot and last into the queue of its tick, which must lie in the
    /// window and not cross the other side.
    #[inline]
    pub(crate) fn insert(&mut self, slot: u8, mut order: Order) {
        debug_assert!(self.live >> slot & 1 == 0);
        debug_assert!((self.low..self.low + TICKS).contains(&order.tick));
        let index = level(order.tick);
        let queue = &mut self.levels[index];
        order.prev = queue.last;
        order.next = NONE;
        if queue.last == NONE {
            queue.first = slot;
            *self.occupied(order.side) |= 1 << index;
        } else {
            self.orders[usize::from(queue.last)].next = slot;
        }
        self.levels[index].last = slot;
        self.orders[usize::from(slot)] = order;
        self.live |= 1 << slot;
    }

    /// Takes `shares` from a live order, and the order from the book when none are left.
    #[inline]
    pub(crate) fn reduce(&mut self, slot: u8, shares: u32) {
        let order = &mut self.orders[usize::from(slot)];
        debug_assert!(order.shares >= shares);
        order.shares -= shares;
        if order.shares == 0 {
            self.remove(slot);
        }
    }

    /// Takes a live order from the book.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u8) {
        let Order { tick, side, prev, next, .. } = self.orders[usize::from(slot)];
        let index = level(tick);
        match prev {
            NONE => self.levels[index].first = next,
            prev => self.orders[usize::from(prev)].next = next,
        }
        match next {
            NONE => self.levels[index].last = prev,
            next => self.orders[usize::from(next)].prev = prev,
        }
        if self.levels[index].first == NONE {
            *self.occupied(side) &= !(1 << index);
        }
        self.live &= !(1 << slot);
    }

    /// Moves the window by a tick up or down; the level that falls out must be empty.
    pub(crate) fn slide(&mut self, ticks: i32) {
        self.low += ticks;
    }

    #[inline]
    fn occupied(&mut self, side: Side) -> &mut u64 {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

#[inline]
fn level(tick: i32) -> usize {
    (tick as u32 % TICKS as u32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_is_found_wherever_the_window_lies() {
        for low in [0, 1, 63, 64, 1_000, 999_983] {
            let mut book = Book::new(low);
            assert_eq!((book.best(Side::Buy), book.best(Side::Sell)), (None, None));
            for (slot, tick) in [3, 17, 9].into_iter().enumerate() {
                book.insert(slot as u8, Order::new(1, Side::Buy, 100, low + tick));
            }
            for (slot, tick) in [63, 18, 40].into_iter().enumerate() {
                book.insert(100 + slot as u8, Order::new(1, Side::Sell, 100, low + tick));
            }
            assert_eq!(book.best(Side::Buy), Some(low + 17));
            assert_eq!(book.best(Side::Sell), Some(low + 18));
            book.remove(1);
            book.reduce(101, 100);
            assert_eq!(book.best(Side::Buy), Some(low + 9));
            assert_eq!(book.best(Side::Sell), Some(low + 40));
        }
    }

    #[test]
    fn a_queue_keeps_its_order_when_any_of_it_leaves() {
        for leaver in 0..4 {
            let mut book = Book::new(100);
            for slot in 0..4 {
                book.insert(slot, Order::new(slot.into(), Side::Buy, 1, 120));
            }
            book.remove(leaver);
            let mut left = Vec::new();
            while let Some(slot) = book.first(120) {
                left.push(slot);
                book.remove(slot);
            }
            let expected: Vec<u8> = (0..4).filter(|&slot| slot != leaver).collect();
            assert_eq!(left, expected);
            assert_eq!(book.best(Side::Buy), None);
        }
    }
}

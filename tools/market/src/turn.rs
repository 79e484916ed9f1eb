//! One turn at one symbol's book: a participant posts, takes, changes or withdraws an order.

use tailwater_core::Price;

use crate::book::{Book, Order, SLOTS, TICKS};
use crate::event::{EventKind, Side};

/// The most executions that one marketable order has; what is left of it then is cancelled.
const EXECUTIONS_MAX: u32 = 8;
/// The lowest bound of a fair price: 5.00.
const FAIR_MIN: i32 = 500;
/// The highest bound of a fair price: 5000.00.
const FAIR_MAX: i32 = 500_000;
/// From the fair price down to the lowest tick of the book's window: bids are posted from 0 to 31
/// ticks below the fair price, offers from 1 to 32 above.
const FAIR_ABOVE_LOW: i32 = TICKS / 2 - 1;
/// A tick of 0.01 in units of a [`Price`].
const TICK_UNITS: i64 = 1_000_000;

const _: () =
    assert!(FAIR_MIN > TICKS && 10_i64.pow(tailwater_core::money::DECIMALS) == 100 * TICK_UNITS);

/// The next numbers of orders and matches; each part has every `step`-th.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) order: u64,
    pub(crate) matched: u64,
    pub(crate) step: u64,
}

impl Numbers {
    fn order(&mut self) -> u64 {
        self.order += self.step;
        self.order
    }

    fn matched(&mut self) -> u64 {
        self.matched += self.step;
        self.matched
    }
}

/// 64 random bits, dealt out from the low end.
struct Dice(u64);

impl Dice {
    /// A number of so many bits.
    #[inline]
    fn bits(&mut self, count: u32) -> u32 {
        let bits = self.0 as u32 & ((1 << count) - 1);
        self.0 >>= count;
        bits
    }

    /// Like `bits`, with small numbers more likely: each bit is set one time in four.
    #[inline]
    fn low_bits(&mut self, count: u32) -> u32 {
        self.bits(count) & self.bits(count)
    }

    #[inline]
    fn side(&mut self) -> Side {
        if self.bits(1) == 0 { Side::Buy } else { Side::Sell }
    }

    /// Three in four are round lots of 100 to 800 shares, the others odd lots of 1 to 64.
    #[inline]
    fn shares(&mut self) -> u32 {
        let lots = 100 * (1 + self.low_bits(3));
        let odd = 1 + self.bits(6);
        if self.bits(2) == 0 { odd } else { lots }
    }
}

/// One participant's turn; `tell` hears each event.
pub(crate) struct Turn<'a, F> {
    pub(crate) book: &'a mut Book,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) tell: F,
}

/// A book that a symbol starts the day with, at a price from 10.00 to 500.00.
pub(crate) fn opening_book(random: &mut tailwater_core::Random) -> Book {
    Book::new(1_000 + random.below(49_000) as i32 - FAIR_ABOVE_LOW)
}

impl<F: FnMut(EventKind)> Turn<'_, F> {
    /// Does what 64 random bits say.
    ///
    /// Most turns name a slot of the book: an order that is there is changed or withdrawn, an empty
    /// slot is filled, so books fill up to about half and stay there.
    #[inline]
    pub(crate) fn play(&mut self, random: u64) {
        let mut dice = Dice(random);
        match dice.bits(8) {
            0..=55 => self.take(&mut dice),
            56..=58 => self.trade_hidden(&mut dice),
            59 | 60 => self.walk(&mut dice),
            _ => {
                let slot = dice.bits(SLOTS.trailing_zeros()) as u8;
                match self.book.order(slot) {
                    Some(&order) => self.change(slot, order, &mut dice),
                    None => self.post(slot, &mut dice),
                }
            }
        }
    }

    fn fair(&self) -> i32 {
        self.book.low() + FAIR_ABOVE_LOW
    }

    /// A tick on one side of the fair price, most likely close to it.
    fn tick(&self, side: Side, dice: &mut Dice) -> i32 {
        let away = dice.low_bits(5) as i32;
        match side {
            Side::Buy => self.fair() - away,
            Side::Sell => self.fair() + 1 + away,
        }
    }

    /// The fair price takes a step; orders that are now too far from it are withdrawn.
    fn walk(&mut self, dice: &mut Dice) {
        let fair = self.fair();
        let up = match dice.bits(1) {
            0 => fair < FAIR_MAX,
            _ => fair <= FAIR_MIN,
        };
        let gone = if up { self.book.low() } else { self.book.low() + TICKS - 1 };
        while let Some(slot) = self.book.first(gone) {
            self.delete(slot);
        }
        self.book.slide(if up { 1 } else { -1 });
    }

    /// An order at any price, which trades at once.
    fn take(&mut self, dice: &mut Dice) {
        let (side, shares) = (dice.side(), dice.shares());
        let limit = match side {
            Side::Buy => i32::MAX,
            Side::Sell => i32::MIN,
        };
        self.cross(side, shares, limit, dice);
    }

    /// An order with a limit: what does not trade at once rests.
    fn post(&mut self, slot: u8, dice: &mut Dice) {
        let (side, shares) = (dice.side(), dice.shares());
        let tick = self.tick(side, dice);
        let shares = self.cross(side, shares, tick, dice);
        if shares > 0 && !self.crosses(side, tick) {
            let order = self.numbers.order();
            self.book.insert(slot, Order::new(order, side, shares, tick));
            (self.tell)(EventKind::Add { order, side, shares, price: price(tick) });
        }
    }

    /// Whether an order of `side` at `tick` would trade with a resting one.
    #[inline]
    fn crosses(&self, side: Side, tick: i32) -> bool {
        match (side, self.book.best(side.opposite())) {
            (_, None) => false,
            (Side::Buy, Some(ask)) => tick >= ask,
            (Side::Sell, Some(bid)) => tick <= bid,
        }
    }

    /// Trades with the other side up to a limit; returns the shares that are left.
    #[inline]
    fn cross(&mut self, side: Side, mut shares: u32, limit: i32, dice: &mut Dice) -> u32 {
        let mut left = EXECUTIONS_MAX;
        while shares > 0 && left > 0 && self.crosses(side, limit) {
            let best = self.book.best(side.opposite());
            let Some(slot) = best.and_then(|tick| self.book.first(tick)) else { break };
            let Some(&resting) = self.book.order(slot) else { break };
            let filled = shares.min(resting.shares);
            self.execute(slot, resting, filled, dice);
            shares -= filled;
            left -= 1;
        }
        shares
    }

    /// Part or all of a resting order trades; once in a while half a tick better for who takes.
    #[inline]
    fn execute(
        &mut self,
        slot: u8,
        Order { id: order, side, tick, .. }: Order,
        shares: u32,
        dice: &mut Dice,
    ) {
        let id = self.numbers.matched();
        self.book.reduce(slot, shares);
        let price = price(tick);
        // The dice of a turn run out after some executions and then show zeros: one is not zero.
        (self.tell)(if dice.bits(7) == 1 {
            let half = Price::from_units(TICK_UNITS / 2);
            let price = if side == Side::Buy { price + half } else { price - half };
            let printable = dice.bits(2) != 1;
            EventKind::ExecuteWithPrice { order, shares, id, side, price, printable }
        } else {
            EventKind::Execute { order, shares, id, side, price }
        });
    }

    /// Two participants meet between the best prices, unseen. ITCH shows all of them as buys.
    fn trade_hidden(&mut self, dice: &mut Dice) {
        if let (Some(bid), Some(ask)) = (self.book.best(Side::Buy), self.book.best(Side::Sell)) {
            let price = Price::from_units(i64::from(bid + ask) * (TICK_UNITS / 2));
            let (id, shares) = (self.numbers.matched(), dice.shares());
            (self.tell)(EventKind::Trade { side: Side::Buy, shares, price, id });
        }
    }

    /// A resting order is withdrawn, replaced or made smaller.
    fn change(&mut self, slot: u8, order: Order, dice: &mut Dice) {
        match dice.bits(3) {
            0..=3 => self.delete(slot),
            4 | 5 => self.replace(slot, order, dice),
            _ => {
                let shares = order.shares / 2;
                if shares > 0 {
                    self.book.reduce(slot, shares);
                    (self.tell)(EventKind::Cancel { order: order.id, shares });
                } else {
                    self.delete(slot);
                }
            }
        }
    }

    fn delete(&mut self, slot: u8) {
        if let Some(&Order { id: order, .. }) = self.book.order(slot) {
            self.book.remove(slot);
            (self.tell)(EventKind::Delete { order });
        }
    }

    /// The new order must rest: where its price would trade, the old one is only withdrawn.
    fn replace(&mut self, slot: u8, Order { id: order, side, .. }: Order, dice: &mut Dice) {
        let (shares, tick) = (dice.shares(), self.tick(side, dice));
        if self.crosses(side, tick) {
            return self.delete(slot);
        }
        let new_order = self.numbers.order();
        self.book.remove(slot);
        self.book.insert(slot, Order::new(new_order, side, shares, tick));
        (self.tell)(EventKind::Replace { order, new_order, shares, price: price(tick) });
    }
}

#[inline]
fn price(tick: i32) -> Price {
    Price::from_units(i64::from(tick) * TICK_UNITS)
}

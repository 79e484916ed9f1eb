//! One-second bars that are right at last: a late print or a correction fires its bar again.
use tailwater::connectors::market::Trade;
use tailwater::operators::Operator;
use tailwater::prelude::*;

/// A print, or the word that an earlier one did not count. A correction is both: the old one taken
/// back, and a new one.
#[record]
pub struct Print {
    pub trade: Trade,
    pub kind: Kind,
}

#[record]
#[derive(Copy, PartialEq)]
pub enum Kind {
    Done,
    TakenBack,
}

/// A bar as it is known so far. One for the same symbol and start replaces those before it.
#[record]
#[derive(PartialEq)]
pub struct Bar {
    pub symbol: Symbol,
    pub start: Timestamp,
    /// None where all prints were taken back.
    pub vwap: Option<Price>,
    pub volume: Volume,
    pub prints: i64,
}

#[record]
#[derive(Default)]
pub struct Turnover {
    notional: Notional,
    volume: Volume,
    prints: i64,
}

impl Aggregate<Print> for Turnover {
    type Output = Turnover;

    fn add(&mut self, Print { trade, kind }: &Print) {
        match kind {
            Kind::Done => {
                self.notional += trade.price * trade.size;
                self.volume += trade.size;
                self.prints += 1;
            }
            Kind::TakenBack => {
                self.notional -= trade.price * trade.size;
                self.volume -= trade.size;
                self.prints -= 1;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.notional += other.notional;
        self.volume += other.volume;
        self.prints += other.prints;
    }

    fn finish(&self) -> Turnover {
        self.clone()
    }
}

/// Bars of a second. What comes up to `patience` late fires its bar again with everything in it.
pub fn bars<C>(
    prints: Stream<Print, C>,
    patience: Span,
) -> Stream<Bar, impl Operator<Out = Bar> + Clone>
where
    C: Operator<Out = Print> + Clone,
{
    prints
        .key_by(|print| print.trade.symbol)
        .window(Tumbling::of(1.secs()))
        .allowed_lateness(patience)
        .aggregate(Turnover::default())
        .map(|second| Bar {
            symbol: second.key,
            start: second.window.start,
            vwap: second.value.notional.checked_div(second.value.volume),
            volume: second.value.volume,
            prints: second.value.prints,
        })
}

//! The volatility of each symbol over the last minute, every second.
use tailwater::connectors::market::Trade;
use tailwater::operators::Operator;
use tailwater::prelude::*;

/// How much a price has moved lately.
#[record]
#[derive(PartialEq)]
pub struct Volatility {
    pub symbol: Symbol,
    /// The last instant of the minute.
    pub at: Timestamp,
    /// Returns that went into it.
    pub returns: u64,
    /// The root of the sum of their squares, in billionths: 1_000_000 is 0.1 %.
    pub realised: u64,
}

/// The last trade of a second, by time and number.
#[record]
#[derive(Default)]
pub struct Close {
    last: Option<(Timestamp, u64, Price)>,
}

impl Aggregate<Trade> for Close {
    type Output = Option<Price>;

    fn add(&mut self, trade: &Trade) {
        self.last = self.last.max(Some((trade.at, trade.id, trade.price)));
    }

    fn merge(&mut self, other: &Self) {
        self.last = self.last.max(other.last);
    }

    fn finish(&self) -> Option<Price> {
        self.last.map(|(.., price)| price)
    }
}

/// From one second with trades to the next, in billionths of the price.
#[record]
pub struct Return {
    symbol: Symbol,
    billionths: i64,
}

#[derive(Clone)]
pub struct Returns;

#[keyed_state(key = Symbol)]
pub struct Previous {
    price: Value<Price>,
}

impl Process for Returns {
    type In = (Symbol, Price);
    type State = Previous;
    type Out = Return;

    fn on_record(
        &mut self,
        (symbol, price): (Symbol, Price),
        previous: &mut Previous,
        context: &mut Context<Return>,
    ) {
        if let Some(before) = previous.price.get() {
            let change = i128::from(price.units()) - i128::from(before.units());
            let billionths = change * 1_000_000_000 / i128::from(before.units());
            context.emit(Return { symbol, billionths: billionths as i64 });
        }
        previous.price.set(price);
    }
}

/// The sum of squares; exact, so that what leaves the window can be taken back.
#[record]
#[derive(Default)]
pub struct Squares {
    count: u64,
    sum: u128,
}

impl Aggregate<Return> for Squares {
    type Output = (u64, u64);

    fn add(&mut self, next: &Return) {
        self.count += 1;
        self.sum += u128::from(next.billionths.unsigned_abs()).pow(2);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
    }

    fn finish(&self) -> (u64, u64) {
        (self.count, self.sum.isqrt() as u64)
    }

    fn subtract(&mut self, other: &Self) -> bool {
        self.count -= other.count;
        self.sum -= other.sum;
        true
    }
}

/// The volatility of trades.
pub fn volatility<C>(
    trades: Stream<Trade, C>,
) -> Stream<Volatility, impl Operator<Out = Volatility> + Clone>
where
    C: Operator<Out = Trade> + Clone,
{
    trades
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(1.secs()))
        .aggregate(Close::default())
        .named("closes")
        .flat_map(|second| second.value.map(|price| (second.key, price)))
        .key_by(|(symbol, _)| *symbol)
        .process(Returns)
        .key_by(|next| next.symbol)
        .window(Sliding::of(60.secs()).every(1.secs()))
        .aggregate(Squares::default())
        .named("minutes")
        .map(|minute| Volatility {
            symbol: minute.key,
            at: minute.window.last(),
            returns: minute.value.0,
            realised: minute.value.1,
        })
}

//! The VWAP of each symbol since the open of its session, every second that it traded.
use tailwater::connectors::market::Trade;
use tailwater::operators::Operator;
use tailwater::operators::window::general::Sessions;
use tailwater::prelude::*;

/// The VWAP so far.
#[record]
#[derive(PartialEq)]
pub struct SoFar {
    pub symbol: Symbol,
    /// The open of the session.
    pub open: Timestamp,
    /// The last instant of the second.
    pub at: Timestamp,
    pub vwap: Price,
    pub volume: Volume,
}

/// What was traded.
#[record]
#[derive(Default)]
pub struct Turnover {
    notional: Notional,
    volume: Volume,
}

impl Aggregate<Trade> for Turnover {
    type Output = Turnover;

    fn add(&mut self, trade: &Trade) {
        self.notional += trade.price * trade.size;
        self.volume += trade.size;
    }

    fn merge(&mut self, other: &Self) {
        self.notional += other.notional;
        self.volume += other.volume;
    }

    fn finish(&self) -> Turnover {
        self.clone()
    }
}

/// What was traded in a second.
type Second = WindowResult<Symbol, Turnover>;

/// The seconds of a session.
#[record]
#[derive(Default)]
pub struct SinceOpen {
    turnover: Turnover,
    /// The last instant of the last second.
    at: Option<Timestamp>,
}

impl Aggregate<Second> for SinceOpen {
    type Output = SinceOpen;

    fn add(&mut self, second: &Second) {
        self.turnover.merge(&second.value);
        self.at = self.at.max(Some(second.window.last()));
    }

    fn merge(&mut self, other: &Self) {
        self.turnover.merge(&other.turnover);
        self.at = self.at.max(other.at);
    }

    fn finish(&self) -> SinceOpen {
        self.clone()
    }
}

/// The VWAP of trades since the open of their session. Trades between sessions are left out, and
/// counted.
pub fn since_open<C>(
    trades: Stream<Trade, C>,
    sessions: impl Into<Sessions>,
) -> Stream<SoFar, impl Operator<Out = SoFar> + Clone>
where
    C: Operator<Out = Trade> + Clone,
{
    trades
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(1.secs()))
        .aggregate(Turnover::default())
        .named("seconds")
        .key_by(|second| second.key)
        .window(TradingSessions::of(sessions))
        // Each second shows the session so far.
        .trigger(Count(1))
        .aggregate(SinceOpen::default())
        .flat_map(|session| {
            let (open, symbol) = (session.window.start, session.key);
            let SinceOpen { turnover: Turnover { notional, volume }, at } = session.value;
            Some(SoFar { symbol, open, at: at?, vwap: notional.checked_div(volume)?, volume })
        })
}

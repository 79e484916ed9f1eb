//! The VWAP of each symbol since the open of its session, every second that it traded.
use tailwater::connectors::market::Trade;
use tailwater::operators::Operator;
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

/// When a market opens and closes each day, from midnight UTC.
#[derive(Clone, Copy)]
pub struct Hours {
    pub open: Span,
    pub close: Span,
}

impl Hours {
    /// The open of the session that a time belongs to; none where the market is closed.
    pub fn open_of(self, at: Timestamp) -> Option<Timestamp> {
        let day = 1.days();
        let since_open = (at.0 - self.open.0).rem_euclid(day.0);
        let length = (self.close.0 - self.open.0).rem_euclid(day.0);
        (since_open < length).then(|| at - Span(since_open))
    }
}

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

/// A second of a session.
#[record]
pub struct Second {
    symbol: Symbol,
    open: Timestamp,
    at: Timestamp,
    turnover: Turnover,
}

/// Adds up the seconds of a session.
#[derive(Clone)]
pub struct SinceOpen;

#[keyed_state(key = Symbol)]
pub struct Session {
    open: Value<Timestamp>,
    turnover: Value<Turnover>,
}

impl Process for SinceOpen {
    type In = Second;
    type State = Session;
    type Out = SoFar;

    fn on_record(&mut self, second: Second, session: &mut Session, context: &mut Context<SoFar>) {
        if session.open.get() != Some(&second.open) {
            session.open.set(second.open);
            session.turnover.clear();
        }
        let so_far = session.turnover.or_default();
        so_far.merge(&second.turnover);
        let Some(vwap) = so_far.notional.checked_div(so_far.volume) else { return };
        context.emit(SoFar {
            symbol: second.symbol,
            open: second.open,
            at: second.at,
            vwap,
            volume: so_far.volume,
        });
    }
}

/// The VWAP of trades since the open. Trades outside the hours are left out.
pub fn since_open<C>(
    trades: Stream<Trade, C>,
    hours: Hours,
) -> Stream<SoFar, impl Operator<Out = SoFar> + Clone>
where
    C: Operator<Out = Trade> + Clone,
{
    trades
        .filter(move |trade| hours.open_of(trade.at).is_some())
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(1.secs()))
        .aggregate(Turnover::default())
        .flat_map(move |second| {
            let open = hours.open_of(second.window.start)?;
            let at = second.window.last();
            Some(Second { symbol: second.key, open, at, turnover: second.value })
        })
        .key_by(|second| second.symbol)
        .process(SinceOpen)
}

//! Positions of accounts against limits that every core has: a broadcast table beside a keyed
//! process.
use tailwater::connectors::market::Side;
use tailwater::operators::Operator;
use tailwater::prelude::*;

/// An account bought or sold.
#[record]
#[derive(PartialEq)]
pub struct Fill {
    pub account: u32,
    pub symbol: Symbol,
    pub side: Side,
    pub price: Price,
    pub size: Size,
    pub at: Timestamp,
    /// Numbers the fills of one time.
    pub id: u64,
}

/// What an account may hold of each symbol, from a time on.
#[record]
#[derive(PartialEq)]
pub struct Limit {
    pub account: u32,
    /// The largest position, bought or sold.
    pub position_max: Size,
    /// The most that a position may be worth, at the price of its last fill.
    pub exposure_max: Notional,
    pub from: Timestamp,
}

/// A fill that left its account beyond a limit.
#[record]
#[derive(PartialEq)]
pub struct Breach {
    pub fill: Fill,
    /// What the account holds now; below zero where it has sold more than it bought.
    pub position: Size,
    pub exposure: Notional,
    pub limit: Limit,
}

/// Judges fills in the order of their times.
#[derive(Clone)]
pub struct Risk;

/// The limits of each account, in the order of their times.
type Limits = BroadcastState<u32, Vec<Limit>>;

#[keyed_state(key = u32)]
pub struct Account {
    positions: Map<Symbol, Size>,
    /// Fills that the watermark has not reached: a limit of before them may still come.
    waiting: List<Fill>,
}

impl BroadcastProcess for Risk {
    type In = Fill;
    type Broadcast = Limit;
    type Shared = Limits;
    type State = Account;
    type Out = Breach;

    fn on_record(
        &mut self,
        fill: Fill,
        _: &Limits,
        account: &mut Account,
        context: &mut Context<Breach>,
    ) {
        context.event_timer(fill.at);
        account.waiting.push(fill);
    }

    fn on_broadcast(
        &mut self,
        limit: Limit,
        limits: &mut Limits,
        _: &mut BroadcastContext<'_, Self::State, Breach>,
    ) {
        let mut of_account = limits.get(&limit.account).cloned().unwrap_or_default();
        let place = of_account.partition_point(|other| other.from <= limit.from);
        let account = limit.account;
        of_account.insert(place, limit);
        limits.insert(account, of_account);
    }

    fn on_timer(
        &mut self,
        at: Timestamp,
        limits: &Limits,
        account: &mut Account,
        context: &mut Context<Breach>,
    ) {
        let mut due: Vec<Fill> =
            account.waiting.iter().filter(|fill| fill.at <= at).cloned().collect();
        account.waiting.retain(|fill| fill.at > at);
        due.sort_by_key(|fill| (fill.at, fill.id));
        for fill in due {
            let position = account.positions.or_insert_with(fill.symbol, || Size::ZERO);
            match fill.side {
                Side::Buy => *position += fill.size,
                Side::Sell => *position -= fill.size,
                Side::Unknown => {}
            }
            let position = *position;
            let amount = position.max(-position);
            let exposure = fill.price * amount;
            let in_force = limits
                .get(&fill.account)
                .and_then(|all| all.iter().rev().find(|limit| limit.from <= fill.at));
            if let Some(limit) = in_force
                && (amount > limit.position_max || exposure > limit.exposure_max)
            {
                let limit = limit.clone();
                context.emit(Breach { fill, position, exposure, limit });
            }
        }
    }
}

/// The fills that broke a limit. Both streams have event time: a fill is judged by the limits that
/// were in force at its time, whatever came first.
pub fn breaches<C, D>(
    fills: Stream<Fill, C>,
    limits: Stream<Limit, D>,
) -> Stream<Breach, impl Operator<Out = Breach> + Clone>
where
    C: Operator<Out = Fill> + Clone,
    D: Operator<Out = Limit> + Clone,
{
    fills.key_by(|fill| fill.account).connect_broadcast(limits).process(Risk)
}

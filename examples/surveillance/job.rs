//! Two patterns of market abuse, each a process with timers: orders that are shown and taken back
//! (spoofing), and trades that change no owner (wash trades).
use tailwater::operators::Operator;
use tailwater::prelude::*;

/// What happened to an order, as an exchange's order log tells it.
#[record]
pub struct OrderEvent {
    pub id: u64,
    /// When it was told, in milliseconds since 1970.
    #[serde(rename = "timestamp")]
    pub at_ms: i64,
    pub price: Price,
    /// What is left of it, in units of the last decimal.
    pub volume: i64,
    pub action: Action,
    pub direction: Direction,
}

#[record]
#[derive(Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Created,
    Changed,
    Deleted,
}

#[record]
#[derive(Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Bid,
    Ask,
}

impl OrderEvent {
    pub fn at(&self) -> Timestamp {
        Timestamp(0) + self.at_ms.millis()
    }
}

/// A large order that was taken back whole, soon after it was shown.
#[record]
#[derive(PartialEq)]
pub struct Spoof {
    pub order: u64,
    pub direction: Direction,
    pub price: Price,
    pub volume: i64,
    pub shown_at: Timestamp,
    pub gone_at: Timestamp,
}

/// Looks for [`Spoof`]s.
#[derive(Clone)]
pub struct Spoofing {
    /// From what volume on an order is large.
    pub volume_min: i64,
    /// How soon it must be gone.
    pub within: Span,
}

#[keyed_state(key = u64)]
pub struct Shown {
    /// The order as it was created; forgotten when it has stood long enough.
    order: Value<OrderEvent>,
}

impl Process for Spoofing {
    type In = OrderEvent;
    type State = Shown;
    type Out = Spoof;

    fn on_record(&mut self, event: OrderEvent, shown: &mut Shown, context: &mut Context<Spoof>) {
        let stands_long_enough = |at: Timestamp| at + self.within + Span(1);
        match event.action {
            Action::Created if event.volume >= self.volume_min => {
                context.event_timer(stands_long_enough(event.at()));
                shown.order.set(event);
            }
            Action::Created => {}
            // Somebody traded with it: it was meant.
            Action::Changed => shown.order.clear(),
            Action::Deleted => {
                let Some(order) = shown.order.take() else { return };
                context.delete_event_timer(stands_long_enough(order.at()));
                // The timer waits for the watermark, which may be behind.
                let is_soon = event.at() - order.at() <= self.within;
                if is_soon && event.volume == order.volume {
                    context.emit(Spoof {
                        order: event.id,
                        direction: order.direction,
                        price: order.price,
                        volume: order.volume,
                        shown_at: order.at(),
                        gone_at: event.at(),
                    });
                }
            }
        }
    }

    fn on_timer(&mut self, _: Timestamp, shown: &mut Shown, _: &mut Context<Spoof>) {
        shown.order.clear();
    }
}

/// The orders among `events` that look like spoofing.
pub fn spoofs<C>(
    events: Stream<OrderEvent, C>,
    rule: Spoofing,
) -> Stream<Spoof, impl Operator<Out = Spoof> + Clone>
where
    C: Operator<Out = OrderEvent> + Clone,
{
    events.key_by(|event| event.id).process(rule)
}

/// A trade between two accounts, as the exchange knows them.
#[record]
#[derive(PartialEq)]
pub struct Fill {
    pub id: u64,
    pub symbol: Symbol,
    pub buyer: u32,
    pub seller: u32,
    pub price: Price,
    pub size: Size,
    pub at: Timestamp,
}

/// A trade with oneself, or one that a second trade undid.
#[record]
#[derive(PartialEq)]
pub struct Wash {
    pub fill: Fill,
    /// The earlier trade of the same size that it undid; none where buyer and seller are one.
    pub undoes: Option<Fill>,
}

/// Looks for [`Wash`] trades between two accounts in one symbol.
#[derive(Clone)]
pub struct Washing {
    /// How soon a trade must be undone.
    pub within: Span,
}

#[keyed_state(key = (Symbol, u32, u32))]
pub struct Between {
    /// Trades that nothing has undone yet.
    open: List<Fill>,
}

impl Process for Washing {
    type In = Fill;
    type State = Between;
    type Out = Wash;

    fn on_record(&mut self, fill: Fill, between: &mut Between, context: &mut Context<Wash>) {
        if fill.buyer == fill.seller {
            return context.emit(Wash { fill, undoes: None });
        }
        let is_undone = |open: &&Fill| {
            open.buyer == fill.seller && open.size == fill.size && fill.at - open.at <= self.within
        };
        let undone = between.open.iter().find(is_undone).cloned();
        if let Some(undone) = undone {
            between.open.retain(|open| open.id != undone.id);
            return context.emit(Wash { fill, undoes: Some(undone) });
        }
        context.event_timer(fill.at + self.within + Span(1));
        between.open.push(fill);
    }

    /// Forgets what is too old to be undone.
    fn on_timer(&mut self, at: Timestamp, between: &mut Between, _: &mut Context<Wash>) {
        between.open.retain(|open| at - open.at <= self.within);
    }
}

/// The wash trades among `fills`.
pub fn washes<C>(
    fills: Stream<Fill, C>,
    rule: Washing,
) -> Stream<Wash, impl Operator<Out = Wash> + Clone>
where
    C: Operator<Out = Fill> + Clone,
{
    fills
        .key_by(|fill| (fill.symbol, fill.buyer.min(fill.seller), fill.buyer.max(fill.seller)))
        .process(rule)
}

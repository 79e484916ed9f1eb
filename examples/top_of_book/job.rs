//! The best bid and ask of each instrument, whenever they change: from price levels as Binance
//! sends them, and from single orders as NASDAQ ITCH does.
use tailwater::connectors::market::itch::{ItchBody, ItchMessage};
use tailwater::connectors::market::{Depth, Level, MarketEvent, Side};
use tailwater::operators::Operator;
use tailwater::prelude::*;

/// The best bid and ask; one is absent where nobody is on that side.
#[record]
#[derive(PartialEq)]
pub struct Top {
    /// A symbol, or the number that the venue gave the stock for the day.
    pub instrument: String,
    pub bid: Option<Level>,
    pub ask: Option<Level>,
    /// When it changed.
    pub at: Timestamp,
    /// The venue's number of the change; zero where it gives none.
    pub id: u64,
}

type Levels = tailwater::state::keyed::Map<Symbol, Price, Size>;

/// Follows a book of levels: a snapshot, then what has changed since.
#[derive(Clone)]
pub struct LevelBook;

#[keyed_state(key = Symbol)]
pub struct LevelState {
    bids: Map<Price, Size>,
    asks: Map<Price, Size>,
    /// The last change that is in the book; none before the snapshot.
    last_id: Value<u64>,
    /// Changes that came before the snapshot.
    early: List<Depth>,
    top: Value<(Option<Level>, Option<Level>)>,
}

impl LevelState {
    fn apply(&mut self, depth: &Depth) {
        set(&mut self.bids, &depth.bids);
        set(&mut self.asks, &depth.asks);
        self.last_id.set(depth.last_id);
    }

    /// Emits the top if it is another one.
    fn tell(&mut self, at: Timestamp, context: &mut Context<Top>) {
        let level = |(price, size): (&Price, &Size)| Level { price: *price, size: *size };
        let top = (self.bids.last().map(level), self.asks.first().map(level));
        if self.top.get() == Some(&top) {
            return;
        }
        let id = self.last_id.get().copied().unwrap_or_default();
        let instrument = self.key().to_string();
        context.emit(Top { instrument, bid: top.0, ask: top.1, at, id });
        self.top.set(top);
    }
}

/// A size of zero takes the level out.
fn set(side: &mut Levels, levels: &[Level]) {
    for Level { price, size } in levels {
        if size.is_zero() {
            side.remove(price);
        } else {
            side.insert(*price, *size);
        }
    }
}

impl Process for LevelBook {
    type In = MarketEvent;
    type State = LevelState;
    type Out = Top;

    fn on_record(&mut self, event: MarketEvent, book: &mut LevelState, context: &mut Context<Top>) {
        match event {
            MarketEvent::Snapshot(snapshot) => {
                book.bids.clear();
                book.asks.clear();
                set(&mut book.bids, &snapshot.bids);
                set(&mut book.asks, &snapshot.asks);
                book.last_id.set(snapshot.last_id);
                let early: Vec<Depth> = book.early.iter().cloned().collect();
                book.early.clear();
                let missed = early.iter().filter(|depth| depth.last_id > snapshot.last_id);
                missed.for_each(|depth| book.apply(depth));
                book.tell(snapshot.at, context);
            }
            MarketEvent::Depth(depth) => match book.last_id.get().copied() {
                None => book.early.push(depth),
                Some(last_id) if depth.last_id <= last_id => {}
                Some(_) => {
                    book.apply(&depth);
                    book.tell(depth.at, context);
                }
            },
            MarketEvent::Trade(_) | MarketEvent::Quote(_) => {}
        }
    }
}

/// The tops of books that are sent as levels.
pub fn of_levels<C>(events: Stream<MarketEvent, C>) -> Stream<Top, impl Operator<Out = Top> + Clone>
where
    C: Operator<Out = MarketEvent> + Clone,
{
    events.key_by(|event| event.symbol()).process(LevelBook)
}

/// Follows a book order by order.
#[derive(Clone)]
pub struct OrderBook;

#[record]
#[derive(Copy)]
pub struct Order {
    side: Side,
    price: Price,
    size: Size,
}

#[keyed_state(key = u16)]
pub struct OrderState {
    orders: Map<u64, Order>,
    bids: Map<Price, Size>,
    asks: Map<Price, Size>,
    top: Value<(Option<Level>, Option<Level>)>,
}

impl OrderState {
    fn add(&mut self, reference: u64, order: Order) {
        self.orders.insert(reference, order);
        let side = if order.side == Side::Buy { &mut self.bids } else { &mut self.asks };
        *side.or_insert_with(order.price, || Size::ZERO) += order.size;
    }

    /// Takes up to `size` out of an order; what it was, if the order is known. Files that begin in
    /// the middle of a day speak of orders that they do not have.
    fn take(&mut self, reference: u64, size: Size) -> Option<Order> {
        let order = *self.orders.get(&reference)?;
        let taken = size.min(order.size);
        if taken == order.size {
            self.orders.remove(&reference);
        } else {
            self.orders.insert(reference, Order { size: order.size - taken, ..order });
        }
        let side = if order.side == Side::Buy { &mut self.bids } else { &mut self.asks };
        let left = side.update(&order.price, |level| {
            *level -= taken;
            *level
        });
        if left == Some(Size::ZERO) {
            side.remove(&order.price);
        }
        Some(order)
    }
}

impl Process for OrderBook {
    type In = ItchMessage;
    type State = OrderState;
    type Out = Top;

    fn on_record(
        &mut self,
        message: ItchMessage,
        book: &mut OrderState,
        context: &mut Context<Top>,
    ) {
        match message.body {
            ItchBody::Add { reference, side, size, price, .. } => {
                book.add(reference, Order { side, price, size });
            }
            ItchBody::Executed { reference, size, .. }
            | ItchBody::ExecutedAt { reference, size, .. }
            | ItchBody::Cancelled { reference, size } => drop(book.take(reference, size)),
            ItchBody::Deleted { reference } => drop(book.take(reference, Size::MAX)),
            ItchBody::Replaced { reference, new_reference, size, price } => {
                if let Some(order) = book.take(reference, Size::MAX) {
                    book.add(new_reference, Order { price, size, ..order });
                }
            }
            _ => return,
        }
        let level = |(price, size): (&Price, &Size)| Level { price: *price, size: *size };
        let top = (book.bids.last().map(level), book.asks.first().map(level));
        if book.top.get() != Some(&top) {
            let instrument = book.key().to_string();
            context.emit(Top { instrument, bid: top.0, ask: top.1, at: message.at, id: 0 });
            book.top.set(top);
        }
    }
}

/// The tops of books that are sent as orders.
pub fn of_orders<C>(
    messages: Stream<ItchMessage, C>,
) -> Stream<Top, impl Operator<Out = Top> + Clone>
where
    C: Operator<Out = ItchMessage> + Clone,
{
    messages.key_by(|message| message.locate).process(OrderBook)
}

//! What each trade cost against the quote at its time: an as-of join of trades with quotes.
use tailwater::connectors::market::{MarketEvent, Quote, Trade};
use tailwater::operators::Operator;
use tailwater::prelude::*;

/// A trade with the spreads at its time.
#[record]
#[derive(PartialEq)]
pub struct Execution {
    pub symbol: Symbol,
    pub at: Timestamp,
    pub id: u64,
    pub price: Price,
    pub size: Size,
    /// Ask less bid.
    pub quoted: Price,
    /// Twice the distance of the price from the middle: what coming and going would have cost.
    pub effective: Price,
}

/// Trades joined with the last quote at or before them, no older than a second. Trades before the
/// first quote are left out.
pub fn executions<C>(
    events: Stream<MarketEvent, C>,
) -> Stream<Execution, impl Operator<Out = Execution> + Clone>
where
    C: Operator<Out = MarketEvent> + Clone,
{
    let (trades, quotes) = events.split(|event| matches!(event, MarketEvent::Trade(_)));
    let quotes = quotes
        .flat_map(|event| match event {
            MarketEvent::Quote(quote) => Some(quote),
            _ => None,
        })
        .key_by(|quote: &Quote| quote.symbol);
    trades
        .flat_map(|event| match event {
            MarketEvent::Trade(trade) => Some(trade),
            _ => None,
        })
        .key_by(|trade: &Trade| trade.symbol)
        .as_of(quotes, AsOf::backward().within(1.secs()))
        .flat_map(|Matched { left: trade, right: quote }| {
            let quote: Quote = quote?.value;
            let twice_from_middle = trade.price + trade.price - quote.bid - quote.ask;
            Some(Execution {
                symbol: trade.symbol,
                at: trade.at,
                id: trade.id,
                price: trade.price,
                size: trade.size,
                quoted: quote.ask - quote.bid,
                effective: twice_from_middle.max(-twice_from_middle),
            })
        })
}

//! Binance captures of any bytes: no panic, the same whatever the size of the blocks.
//!
//! The trades among all events must be those that the decoder of trades finds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater_connectors::file::decode_all;
use tailwater_connectors::market::MarketEvent;
use tailwater_connectors::market::binance::{BinanceEventDecoder, BinanceTradeDecoder};

mod blocks;

fuzz_target!(|bytes: &[u8]| {
    blocks::agree(bytes, BinanceEventDecoder::default);
    blocks::agree(bytes, BinanceTradeDecoder::default);
    let (events, ..) = decode_all(BinanceEventDecoder::default(), bytes, usize::MAX);
    let (trades, ..) = decode_all(BinanceTradeDecoder::default(), bytes, usize::MAX);
    let among = events.iter().filter_map(|captured| match &captured.event {
        MarketEvent::Trade(trade) => Some(trade),
        _ => None,
    });
    assert!(among.eq(&trades));
});

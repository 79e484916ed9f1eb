//! Both ways of reading agree, nothing is skipped in silence, and the real captures count right.

use proptest::prelude::*;
use tailwater_core::Price;

use super::*;
use crate::file::{Files, decode_all};
use crate::market::{Level, Side};
use crate::testing::{data, read};

const TRADE: &str = r#"1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#;
const QUOTE: &str = r#"1723161255088169167 {"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#;
const DEPTH: &str = r#"1723161255030314667 {"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":1,"u":7,"pu":0,"b":[["58710.20","0.014"],["61496.50","0.010"]],"a":[]}}"#;
const SNAPSHOT: &str = r#"1723161255319702566 {"lastUpdateId":9,"E":1723161256501,"T":1723161256493,"bids":[["61800.20","2.909"]],"asks":[["61800.30","1"]]}"#;

fn events(text: &str) -> (Vec<Captured>, Vec<String>) {
    let decoder = BinanceEventDecoder::default();
    let (events, bad, outcome) = decode_all(decoder, text.as_bytes(), usize::MAX);
    assert!(outcome.is_ok());
    (events, bad.into_iter().map(|bad| bad.reason).collect())
}

fn trades(text: &str) -> (Vec<Trade>, Vec<String>) {
    let decoder = BinanceTradeDecoder::default();
    let (trades, bad, outcome) = decode_all(decoder, text.as_bytes(), usize::MAX);
    assert!(outcome.is_ok());
    (trades, bad.into_iter().map(|bad| bad.reason).collect())
}

#[test]
fn every_kind_of_message_is_read() {
    let (events, bad) = events(&[TRADE, QUOTE, "", DEPTH, SNAPSHOT].join("\n"));
    assert_eq!((events.len(), bad), (4, vec![]));
    assert_eq!(events[0].received, Timestamp(1_723_161_255_088_176_367));
    let MarketEvent::Trade(trade) = &events[0].event else { panic!("{events:?}") };
    assert_eq!(trade.symbol.as_str(), "BTCUSDT");
    assert_eq!((trade.id, trade.side), (5_266_583_935, Side::Buy));
    assert_eq!(trade.at, Timestamp(1_723_161_256_321_000_000));
    assert_eq!(
        (trade.price.to_string(), trade.size.to_string()),
        ("61800.3".into(), "0.006".into())
    );
    let MarketEvent::Depth(depth) = &events[2].event else { panic!("{events:?}") };
    assert_eq!((depth.first_id, depth.last_id, depth.previous_id), (1, 7, 0));
    assert_eq!((depth.bids.len(), depth.asks.len()), (2, 0));
    let MarketEvent::Snapshot(snapshot) = &events[3].event else { panic!("{events:?}") };
    assert_eq!((snapshot.symbol.as_str(), snapshot.last_id), ("BTCUSDT", 9));
    let price: Price = "61800.3".parse().unwrap();
    assert_eq!(snapshot.asks, [Level { price, size: "1".parse().unwrap() }]);
}

#[test]
fn another_layout_reads_the_same() {
    for line in [TRADE, QUOTE, DEPTH, SNAPSHOT] {
        let spaced = line.replace("\":", "\" : ").replace(",\"", ", \"");
        assert_ne!(spaced, line);
        assert!(scan::event(spaced.as_bytes(), Symbol::default()).is_none());
        assert!(scan::event(line.as_bytes(), Symbol::default()).is_some(), "{line}");
        assert_eq!(events(&spaced), events(line));
        assert_eq!(trades(&spaced), trades(line));
    }
    // Nineteen digits are too many for the fast way and still exact.
    let long = TRADE.replace("61800.30", "061800.30000000000000");
    assert_eq!(events(&long), events(TRADE));
}

#[test]
fn transfers_at_made_up_prices_are_counted_and_left_out() {
    let counters = Counters::default();
    let mut decoder = BinanceTradeDecoder::default();
    decoder.register(&counters);
    for kind in ["INSURANCE_FUND", "ADL", "NA"] {
        let line = TRADE.replace("MARKET", kind);
        let step = decoder.next(line.as_bytes(), Rest::None);
        assert_eq!(step, Step::Nothing(line.len()));
    }
    assert_eq!(counters.get("binance_other_trades"), 3);
}

#[test]
fn what_is_malformed_or_unknown_is_told() {
    for (line, reason) in [
        (&TRADE[..120], "EOF while parsing"),
        (&TRADE.replace("61800.30", "61800.3x"), "not a decimal number"),
        (&TRADE.replace("\"61800.30\"", "61800.30"), "floating point"),
        (&TRADE.replace("61800.30", "0.123456789"), "more than 8 decimals"),
        (&TRADE.replace("\"e\":\"trade\"", "\"e\":\"forceOrder\""), "unknown event `forceOrder`"),
        (&TRADE.replace("MARKET", "GIFT"), "unknown kind of trade `GIFT`"),
        (&TRADE.replace("\"p\"", "\"P\""), "missing field `p`"),
        (&TRADE.replace("BTCUSDT", "BTCUSDTBTCUSDTBTC"), "no symbol"),
        (&TRADE.replace("1723161256321", "17231612563210000"), "out of range"),
        (&format!("{TRADE}}}"), "trailing characters"),
        (TRADE.split_once(' ').unwrap().1, "no receive time"),
        (&format!("x{TRADE}"), "not a receive time"),
        ("17 {}", "missing field"),
    ] {
        for bad in [events(line).1, trades(line).1] {
            assert_eq!(bad.len(), 1, "{line}");
            assert!(bad[0].contains(reason), "{bad:?} should say {reason}");
        }
    }
    // Messages that are not wanted must at least be whole.
    assert_eq!(trades(&QUOTE[..150]).1.len(), 1);
    assert_eq!(trades(&DEPTH[..170]).1.len(), 1);
}

proptest! {
    #[test]
    fn a_flipped_byte_reads_the_same_both_ways(
        line in proptest::sample::select(vec![TRADE, QUOTE, DEPTH, SNAPSHOT]),
        index: proptest::sample::Index,
        byte in proptest::sample::select(b"0123456789.\"{}[],: \\abtT-+e\x00\x80".to_vec()),
    ) {
        let mut line = line.as_bytes().to_vec();
        let index = index.index(line.len());
        line[index] = byte;
        if let Some((received, message)) = scan::event(&line, Symbol::default()) {
            let general = wire::event(&line, Symbol::default());
            let (general_received, general) = general.expect("the fast way accepted it");
            prop_assert_eq!(received, general_received);
            match (message, general) {
                (Message::Event(fast), Message::Event(general)) => prop_assert_eq!(fast, general),
                (Message::OtherTrade, Message::OtherTrade) => {}
                _ => prop_assert!(false, "different kinds"),
            }
        }
    }

    #[test]
    fn blocks_of_any_size_read_the_same(
        lines in proptest::collection::vec(
            proptest::sample::select(vec![TRADE, QUOTE, DEPTH, SNAPSHOT, "x", "", "1 {"]), 0..8),
        block in 1usize..300,
    ) {
        let text = lines.join("\n").into_bytes();
        let whole = decode_all(BinanceEventDecoder::default(), &text, usize::MAX);
        let parts = decode_all(BinanceEventDecoder::default(), &text, block);
        prop_assert_eq!((whole.0, whole.1), (parts.0, parts.1));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, block in 1usize..50) {
        let (_, _, outcome) = decode_all(BinanceEventDecoder::default(), &bytes, block);
        prop_assert!(outcome.is_ok());
        let (_, _, outcome) = decode_all(BinanceTradeDecoder::default(), &bytes, block);
        prop_assert!(outcome.is_ok());
    }
}

#[test]
fn the_real_captures_count_right() {
    // Messages, quotes, trades, depth messages, their levels.
    for (symbol, counts) in [
        ("btc", [93_954, 66_089, 21_313, 6_551, 443_521]),
        ("eth", [74_655, 53_992, 14_076, 6_586, 428_662]),
    ] {
        let name = format!("binance-usdm-{symbol}usdt-20240808.jsonl.gz");
        let Some(path) = data(&name) else { return };
        let (events, counters) = read(&Files::binance_events(&path)).unwrap();
        assert_eq!(counters.get("bad_records"), 0);
        let mut counted = [events.len(), 0, 0, 0, 0];
        let mut snapshots = 0;
        let mut last_id = None;
        for captured in &events {
            match &captured.event {
                MarketEvent::Quote(_) => counted[1] += 1,
                MarketEvent::Trade(_) => counted[2] += 1,
                MarketEvent::Depth(depth) => {
                    counted[3] += 1;
                    counted[4] += depth.bids.len() + depth.asks.len();
                    assert!(last_id.is_none_or(|last| last == depth.previous_id));
                    last_id = Some(depth.last_id);
                }
                MarketEvent::Snapshot(_) => snapshots += 1,
            }
        }
        assert_eq!((counted, snapshots), (counts, 1));
        assert!(events.is_sorted_by_key(|captured| captured.received));

        let trades: Vec<Trade> = events
            .iter()
            .filter_map(|captured| match &captured.event {
                MarketEvent::Trade(trade) => Some(*trade),
                _ => None,
            })
            .collect();
        assert_eq!(read(&Files::binance_trades(&path)).unwrap().0, trades);
        assert_eq!(read(&Files::trades(&path)).unwrap().0, trades);
    }
}

/// Every line of the real captures takes the fast way, and the general way reads the same in it.
#[test]
fn the_real_captures_read_the_same_both_ways() {
    let Some(path) = data("binance-usdm-btcusdt-20240808.jsonl.gz") else { return };
    let mut archive = crate::file::Archive::open(&path).unwrap();
    let mut text = vec![0; 32 << 20];
    let mut len = 0;
    loop {
        match archive.read(&mut text[len..]).unwrap() {
            0 => break,
            read => len += read,
        }
    }
    for line in text[..len].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let (received, Message::Event(fast)) = scan::event(line, Symbol::default()).unwrap() else {
            panic!("{}", line.escape_ascii())
        };
        let (again, Message::Event(general)) = wire::event(line, Symbol::default()).unwrap() else {
            panic!("{}", line.escape_ascii())
        };
        assert_eq!((received, fast), (again, general));
    }
}

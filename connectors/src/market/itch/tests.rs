//! Messages made by hand, everything that can be wrong with them, and the sample file.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tailwater_core::{Counters, Price, Size, Symbol, Timestamp};

use super::*;
use crate::file::{BadInput, Files, decode_all};
use crate::market::{Side, Trade};
use crate::testing::{data, read};

const KINDS: &[u8] = b"SRHYLVWKJhAFECXDUPQBINO";

/// A message behind its length field, at second `at` of the day.
fn message(kind: u8, at: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 7, 0, 0];
    bytes.extend((u64::from(at) * 1_000_000_000).to_be_bytes()[2..].iter());
    bytes.extend(fields.concat());
    assert_eq!(Some(bytes.len()), message_len(kind), "{}", shown(kind));
    [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
}

fn add(at: u8, reference: u64, side: u8, shares: u32, price: u32) -> Vec<u8> {
    let (reference, shares) = (reference.to_be_bytes(), shares.to_be_bytes());
    message(b'A', at, &[&reference, &[side], &shares, b"BOB     ", &price.to_be_bytes()])
}

fn executed(at: u8, reference: u64, shares: u32, id: u64) -> Vec<u8> {
    message(b'E', at, &[&reference.to_be_bytes(), &shares.to_be_bytes(), &id.to_be_bytes()])
}

fn trades(bytes: &[u8]) -> (Vec<Trade>, Counters) {
    let counters = Counters::default();
    let mut decoder = ItchTradeDecoder::default();
    decoder.register(&counters);
    let mut rest = bytes;
    let mut trades = Vec::new();
    while !rest.is_empty() {
        let used = match decoder.next(rest, Rest::None) {
            Step::Record(trade, used) => {
                trades.push(trade);
                used
            }
            Step::Nothing(used) => used,
            other => panic!("{other:?}"),
        };
        rest = &rest[used..];
    }
    (trades, counters)
}

fn trade(at: i64, price: &str, shares: i64, id: u64, side: Side) -> Trade {
    let symbol = Symbol::new("BOB").unwrap();
    let size = Size::from_units(shares * 100_000_000);
    let at = Timestamp(at * 1_000_000_000);
    Trade { symbol, price: price.parse().unwrap(), size, at, id, side }
}

#[test]
fn executions_become_trades_of_the_order_they_refer_to() {
    let one = 1u64.to_be_bytes();
    let at_price = |printable: &[u8], id: u64| {
        let shares = 10u32.to_be_bytes();
        let price = 12_345u32.to_be_bytes();
        message(b'C', 3, &[&one, &shares, &id.to_be_bytes(), printable, &price])
    };
    let bytes = [
        add(1, 1, b'B', 100, 53_167),
        executed(2, 1, 30, 900),
        at_price(b"N", 901),
        at_price(b"Y", 902),
        // Cancel 20 of the 50 that are left, then replace the rest by a better one, which is taken
        // whole.
        message(b'X', 4, &[&one, &20u32.to_be_bytes()]),
        message(
            b'U',
            5,
            &[&one, &2u64.to_be_bytes(), &40u32.to_be_bytes(), &60_000u32.to_be_bytes()],
        ),
        executed(6, 2, 40, 903),
        executed(7, 2, 1, 904),
        add(8, 3, b'S', 5, 10_000),
        executed(9, 3, 1, 905),
        message(b'D', 10, &[&3u64.to_be_bytes()]),
        message(b'D', 11, &[&3u64.to_be_bytes()]),
    ]
    .concat();
    let (trades, counters) = trades(&bytes);
    assert_eq!(
        trades,
        [
            trade(2, "5.3167", 30, 900, Side::Sell),
            trade(3, "1.2345", 10, 902, Side::Sell),
            trade(6, "6", 40, 903, Side::Sell),
            trade(9, "1", 1, 905, Side::Buy),
        ]
    );
    assert_eq!(counters.get("itch_unknown_orders"), 2);
}

#[test]
fn hidden_trades_and_auctions_are_trades() {
    let id = 77u64.to_be_bytes();
    let price = 10_000u32.to_be_bytes();
    let hidden = message(b'P', 1, &[&[0; 8], b"B", &9u32.to_be_bytes(), b"BOB     ", &price, &id]);
    let cross =
        |shares: u64| message(b'Q', 2, &[&shares.to_be_bytes(), b"BOB     ", &price, &id, b"O"]);
    let bytes = [hidden, cross(0), cross(500), message(b'B', 3, &[&id])].concat();
    let (trades, counters) = trades(&bytes);
    let expected = [trade(1, "1", 9, 77, Side::Unknown), trade(2, "1", 500, 77, Side::Unknown)];
    assert_eq!(trades, expected);
    assert_eq!(counters.get("itch_broken_trades"), 1);
}

fn messages(bytes: &[u8]) -> (usize, Vec<BadInput>, Option<String>) {
    let (messages, bad, outcome) = decode_all(ItchMessageDecoder, bytes, usize::MAX);
    (messages.len(), bad, outcome.err().map(|error| error.to_string()))
}

#[test]
fn a_length_may_be_missing_but_not_wrong() {
    let first = add(1, 1, b'B', 100, 53_167);
    let mut without = first.clone();
    without[..2].fill(0);
    assert_eq!(messages(&[without.clone(), first.clone(), vec![0, 0]].concat()), (2, vec![], None));

    let mut longer = first.clone();
    longer[1] += 1;
    longer.push(0);
    let (count, bad, lost) = messages(&[longer, first.clone()].concat());
    assert_eq!((count, bad.len(), lost), (1, 1, None));
    assert_eq!((bad[0].offset, bad[0].line), (0, None));
    assert!(bad[0].reason.contains("has 36 bytes, not the 37"), "{}", bad[0].reason);

    let unknown = [0, 3, b'z', 1, 2];
    let (count, bad, lost) = messages(&[&unknown[..], &first].concat());
    assert_eq!((count, bad.len(), lost), (1, 1, None));
    assert!(bad[0].reason.contains("no message of type `z`"));

    let (count, bad, lost) = messages(&[&first[..], &[0, 0, b'z', 1, 2], &first].concat());
    assert_eq!((count, bad.len()), (1, 0));
    let lost = lost.unwrap();
    assert!(lost.contains("offset 38: cannot read on") && lost.contains("type `z`"), "{lost}");
}

#[test]
fn fields_that_cannot_be_are_told() {
    let mut late = add(1, 1, b'B', 1, 1);
    late[7..13].fill(0xFF);
    for (bytes, reason) in [
        (add(1, 1, b'?', 1, 1), "`?` is no side"),
        (late, "no time of day"),
        (
            message(b'Q', 1, &[&[0xFF; 8], b"BOB     ", &[0; 4], &[0; 8], b"O"]),
            "shares are too many",
        ),
        (message(b'P', 1, &[&[0; 8], b"B", &[0; 4], b"        ", &[0; 4], &[0; 8]]), "is no stock"),
        (add(1, 1, b'B', 1, 1)[..20].to_vec(), "ends in the middle"),
    ] {
        let (count, bad, lost) = messages(&bytes);
        assert_eq!((count, bad.len(), lost), (0, 1, None));
        assert!(bad[0].reason.contains(reason), "{} should say {reason}", bad[0].reason);
    }
}

#[test]
fn lengths_hold_all_fields() {
    for &kind in KINDS {
        // Whatever the fields say, reading them must stay within the message.
        for fill in [0u8, b'B', b'Y', 0xFF] {
            let mut bytes = vec![fill; message_len(kind).unwrap()];
            bytes[0] = kind;
            bytes[5..11].fill(0);
            let _ = ItchMessage::read(&bytes);
        }
    }
}

#[test]
fn an_attribution_is_kept() {
    let bytes = message(
        b'F',
        1,
        &[&[0; 7], &[9], b"S", &1u32.to_be_bytes(), b"BOB     ", &[0, 1, 0, 0], b"VIRT"],
    );
    let (messages, ..) = decode_all(ItchMessageDecoder, &bytes, 1);
    let expected = ItchBody::Add {
        reference: 9,
        side: Side::Sell,
        size: Size::from_units(100_000_000),
        stock: Symbol::new("BOB").unwrap(),
        price: Price::from_decimal(b"6.5536").unwrap(),
        attribution: Some(*b"VIRT"),
    };
    let at = Timestamp(1_000_000_000);
    assert_eq!(messages, [ItchMessage { locate: 7, tracking: 0, at, body: expected }]);
}

proptest! {
    #[test]
    fn blocks_of_any_size_read_the_same(
        pieces in proptest::collection::vec(
            (proptest::sample::select(KINDS.to_vec()), any::<u8>(), any::<bool>()), 0..20),
        tail in proptest::collection::vec(any::<u8>(), 0..4),
        block in 1usize..80,
    ) {
        let mut bytes = Vec::new();
        for (kind, fill, with_length) in pieces {
            let len = message_len(kind).unwrap();
            let field = if with_length { len as u16 } else { 0 };
            bytes.extend(field.to_be_bytes());
            let start = bytes.len();
            bytes.resize(start + len, fill);
            bytes[start] = kind;
        }
        bytes.extend(tail);
        let whole = decode_all(ItchTradeDecoder::default(), &bytes, usize::MAX);
        let parts = decode_all(ItchTradeDecoder::default(), &bytes, block);
        prop_assert_eq!((whole.0, whole.1, whole.2.is_ok()), (parts.0, parts.1, parts.2.is_ok()));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, block in 1usize..50) {
        let _ = decode_all(ItchTradeDecoder::default(), &bytes, block).2;
        let _ = decode_all(ItchMessageDecoder, &bytes, block).2;
    }
}

#[test]
fn the_sample_counts_right() {
    let Some(path) = data("nasdaq-itch50-sample-20101224.gz") else { return };
    let (messages, _) = read(&Files::itch_messages(&path)).unwrap();
    let mut kinds = BTreeMap::new();
    let mut adds = BTreeMap::new();
    for message in &messages {
        let kind = match message.body {
            ItchBody::Add { attribution, stock, .. } => {
                *adds.entry(stock.to_string()).or_insert(0) += 1;
                if attribution.is_some() { b'F' } else { b'A' }
            }
            ItchBody::Executed { .. } => b'E',
            ItchBody::ExecutedAt { .. } => b'C',
            ItchBody::Cancelled { .. } => b'X',
            ItchBody::Deleted { .. } => b'D',
            ItchBody::Replaced { .. } => b'U',
            ItchBody::Trade { .. } => b'P',
            ItchBody::Cross { .. } => b'Q',
            ItchBody::Broken { .. } => b'B',
            ItchBody::System { .. } => b'S',
            ItchBody::Other { kind } => kind,
        };
        *kinds.entry(kind as char).or_insert(0) += 1;
    }
    let expected = [
        ('A', 4997),
        ('D', 1745),
        ('E', 198),
        ('F', 3),
        ('H', 3),
        ('P', 5000),
        ('R', 3),
        ('S', 6),
        ('U', 12),
        ('X', 45),
    ];
    assert_eq!(kinds, BTreeMap::from(expected));
    let stocks = [("ALC", 950), ("BOB", 2482), ("CHAR", 1568)];
    assert_eq!(adds, stocks.map(|(stock, count)| (stock.to_owned(), count)).into());
    assert!(messages.is_sorted_by_key(|message| message.at));

    let (trades, counters) = read(&Files::itch_trades(&path)).unwrap();
    assert_eq!(counters.get("itch_unknown_orders"), 117);
    assert!(trades.len() > 5000 && trades.len() <= 5198);
    assert_eq!(read(&Files::trades(&path)).unwrap().0, trades);
}

//! The ITCH 5.0 file holds exactly the trades of the CSV file.
//!
//! A reader written from the specification, which shares nothing with the writer, replays the bytes
//! and must find the same prints.

use std::collections::HashMap;

use tailwater_core::{Price, Size, Symbol, Timestamp};
use tailwater_market::{Options, Print, Written, write_csv, write_itch50};

struct Resting {
    locate: u16,
    bid: bool,
    shares: u32,
    price: u32,
}

/// What the reader found.
#[derive(Default)]
struct Day {
    prints: Vec<Print>,
    stocks: HashMap<u16, Symbol>,
    orders: HashMap<u64, Resting>,
    system_events: String,
    unprintable: u32,
    messages: u64,
}

fn number(message: &[u8], at: usize, len: usize) -> u64 {
    message[at..at + len].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

impl Day {
    fn read(mut bytes: &[u8]) -> Self {
        let mut day = Self::default();
        while !bytes.is_empty() {
            let len = number(bytes, 0, 2) as usize;
            day.message(&bytes[2..2 + len]);
            bytes = &bytes[2 + len..];
            day.messages += 1;
        }
        day
    }

    fn message(&mut self, m: &[u8]) {
        let lens = [("S", 12), ("R", 39), ("A", 36), ("E", 31), ("C", 36), ("X", 23), ("D", 19)];
        let lens: HashMap<_, _> = lens.into_iter().chain([("U", 35), ("P", 44)]).collect();
        assert_eq!(m.len(), lens[std::str::from_utf8(&m[..1]).unwrap()]);
        let locate = number(m, 1, 2) as u16;
        let at = Timestamp(number(m, 5, 6) as i64);
        match m[0] {
            b'S' => self.system_events.push(m[11].into()),
            b'R' => {
                let name = std::str::from_utf8(&m[11..19]).unwrap().trim_end();
                assert!(self.stocks.insert(locate, Symbol::new(name).unwrap()).is_none());
                assert_eq!((number(m, 21, 4), number(m, 34, 4)), (100, 0));
                assert_eq!(&[&m[19..21], &m[25..34], &m[38..]].concat(), b"QNNCZ PNN1NN");
            }
            b'A' => {
                self.check_stock(locate, &m[24..32]);
                let (bid, shares) = (m[19] == b'B', number(m, 20, 4) as u32);
                let order = Resting { locate, bid, shares, price: number(m, 32, 4) as u32 };
                assert!(self.orders.insert(number(m, 11, 8), order).is_none());
            }
            b'E' => {
                let price = self.orders[&number(m, 11, 8)].price;
                self.execution(m, at, price);
            }
            b'C' if m[31] == b'Y' => self.execution(m, at, number(m, 32, 4) as u32),
            b'C' => {
                assert_eq!(m[31], b'N');
                self.unprintable += 1;
                self.reduce(number(m, 11, 8), number(m, 19, 4) as u32);
            }
            b'X' => self.reduce(number(m, 11, 8), number(m, 19, 4) as u32),
            b'D' => assert!(self.orders.remove(&number(m, 11, 8)).is_some()),
            b'U' => {
                let old = self.orders.remove(&number(m, 11, 8)).expect("a resting order");
                assert_eq!(old.locate, locate);
                let (shares, price) = (number(m, 27, 4) as u32, number(m, 31, 4) as u32);
                self.orders.insert(number(m, 19, 8), Resting { shares, price, ..old });
            }
            b'P' => {
                self.check_stock(locate, &m[24..32]);
                assert_eq!(number(m, 11, 8), 0);
                let bid = m[19] == b'B';
                let (shares, price) = (number(m, 20, 4), number(m, 32, 4));
                self.print(locate, at, shares, price, number(m, 36, 8), bid);
            }
            other => panic!("message type {other}"),
        }
    }

    fn check_stock(&self, locate: u16, padded: &[u8]) {
        assert_eq!(format!("{:8}", self.stocks[&locate]).as_bytes(), padded);
    }

    fn execution(&mut self, m: &[u8], at: Timestamp, price: u32) {
        let (order, shares) = (number(m, 11, 8), number(m, 19, 4));
        let (locate, bid) = (self.orders[&order].locate, self.orders[&order].bid);
        assert_eq!(u64::from(locate), number(m, 1, 2));
        self.print(locate, at, shares, price.into(), number(m, 23, 8), bid);
        self.reduce(order, shares as u32);
    }

    fn reduce(&mut self, order: u64, shares: u32) {
        let resting = self.orders.get_mut(&order).expect("a resting order");
        resting.shares = resting.shares.checked_sub(shares).expect("no more than there is");
        if resting.shares == 0 {
            self.orders.remove(&order);
        }
    }

    fn print(&mut self, locate: u16, at: Timestamp, shares: u64, price: u64, id: u64, bid: bool) {
        self.prints.push(Print {
            symbol: self.stocks[&locate],
            price: Price::from_units(price as i64 * 10_000),
            size: Size::from_units(shares as i64 * 100_000_000),
            at,
            id,
            buyer_is_maker: bid,
        });
    }
}

fn parse(line: &str) -> Print {
    let fields: Vec<&str> = line.split(',').collect();
    let [symbol, price, size, at, id, buyer_is_maker] = fields[..] else { panic!("{line}") };
    Print {
        symbol: symbol.parse().unwrap(),
        price: price.parse().unwrap(),
        size: size.parse().unwrap(),
        at: Timestamp(at.parse().unwrap()),
        id: id.parse().unwrap(),
        buyer_is_maker: buyer_is_maker.parse().unwrap(),
    }
}

#[test]
fn itch_and_csv_hold_the_same_trades() {
    let options =
        Options { symbols: 50, events: 150_000, start: Options::OPEN, ..Options::default() };
    let (mut itch, mut csv, mut progress) = (Vec::new(), Vec::new(), Vec::new());
    let written = write_itch50(&options, &mut itch, |events| progress.push(events)).unwrap();
    assert_eq!(write_csv(&options, &mut csv, |_| {}).unwrap(), written);
    assert_eq!(progress, [65_536, 131_072, 150_000]);

    let day = Day::read(&itch);
    assert_eq!(day.system_events, "OSQMEC");
    assert_eq!((day.stocks.len(), day.messages), (50, 150_000 + 50 + 6));
    assert!(day.unprintable > 10);
    let text = String::from_utf8(csv).unwrap();
    let prints: Vec<Print> = text.lines().skip(1).map(parse).collect();
    assert_eq!(prints.len() as u64, written.prints);
    assert_eq!(day.prints, prints);
}

#[test]
fn csv_is_headed_plain_decimals() {
    let mut csv = Vec::new();
    let options = Options { symbols: 3, events: 2_000, ..Options::default() };
    write_csv(&options, &mut csv, |_| {}).unwrap();
    let text = String::from_utf8(csv).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("symbol,price,size,at,id,buyer_is_maker"));
    let fields: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert!(fields[0].starts_with("S000") && fields[1].contains('.'), "{fields:?}");
    assert!(fields[2].parse::<u32>().is_ok() && fields[3].starts_with("17042058"), "{fields:?}");
}

#[test]
fn an_empty_tape_still_has_a_frame() {
    let options = Options { symbols: 2, events: 0, ..Options::default() };
    let (mut itch, mut csv) = (Vec::new(), Vec::new());
    assert_eq!(write_itch50(&options, &mut itch, |_| {}).unwrap(), Written::default());
    write_csv(&options, &mut csv, |_| {}).unwrap();
    assert_eq!(Day::read(&itch).system_events, "OSQMEC");
    assert_eq!(csv, b"symbol,price,size,at,id,buyer_is_maker\n");
}

#[test]
fn a_day_too_long_for_itch_is_an_error() {
    let options = Options { rate: 1, events: 1_000_000, ..Options::default() };
    let error = write_itch50(&options, std::io::sink(), |_| {}).err().unwrap();
    assert!(error.to_string().contains("78 hours"), "{error}");
}

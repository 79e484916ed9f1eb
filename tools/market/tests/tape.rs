//! The tape as a source: the same however it is read, and late by no more than was promised.

use std::collections::HashSet;
use std::sync::Arc;

use tailwater_core::random::mix;
use tailwater_core::{Counters, ManualClock, Price, Size, Span, Symbol, TimeUnits, Timestamp};
use tailwater_market::{Event, EventKind, Market, Options, Print, Tape};
use tailwater_operators::{Polled, Source, SourceContext, SplitPosition, Waker};

fn context(core: u32, cores: u32) -> SourceContext {
    SourceContext {
        core,
        cores,
        counters: Counters::default(),
        clock: Arc::new(ManualClock::default()),
        waker: Waker::none(),
        inline: true,
        start: None,
    }
}

/// All the prints of a tape, split by split, read in batches of `limit`.
fn read(options: &Options, prints: u64, limit: usize, cores: u32) -> Vec<Vec<Print>> {
    let tape = Tape::new(options.clone(), prints).unwrap();
    let splits = tape.splits(cores).unwrap().len();
    let read_split = |split| {
        let mut reader = tape.open(split, &context(split as u32 % cores, cores)).unwrap();
        let mut prints = Vec::new();
        loop {
            let before = prints.len();
            let polled = reader.poll(limit, &mut prints).unwrap();
            assert!(prints.len() - before <= limit);
            assert_eq!(reader.position().records, prints.len() as u64);
            match polled {
                Polled::Finished => return prints,
                Polled::Ready => assert!(prints.len() > before),
                Polled::Pending => panic!("the tape never waits"),
            }
        }
    };
    (0..splits).map(read_split).collect()
}

#[test]
fn the_tape_is_frozen() {
    let splits = read(&Options::default(), 100_000, 1_000, 1);
    let mut sum = 0_u64;
    for (index, print) in splits.iter().flat_map(|split| (0_u64..).zip(split)) {
        let fields = [
            print.symbol.as_str()[1..].parse().unwrap(),
            print.price.units() as u64,
            print.size.units() as u64,
            print.at.nanos() as u64,
            print.id,
            print.buyer_is_maker.into(),
        ];
        sum = sum.wrapping_add(fields.into_iter().fold(index, |hash, field| mix(hash ^ field)));
    }
    // A change of this figure changes every tape, and every figure measured on one.
    assert_eq!(format!("{sum:016x}"), "acc1e47a239edee6");
}

#[test]
fn the_number_of_prints_is_exact_and_dealt_evenly() {
    for prints in [0, 1, 7, 8, 1_003] {
        let splits = read(&Options::default(), prints, 64, 1);
        let expected: Vec<u64> = (0..8).map(|i| prints / 8 + u64::from(i < prints % 8)).collect();
        assert_eq!(splits.iter().map(|split| split.len() as u64).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn neither_cores_nor_batches_matter_and_the_seed_does() {
    let options = Options { symbols: 30, ..Options::default() };
    let splits = read(&options, 20_000, 256, 1);
    for (limit, cores) in [(1, 1), (7, 2), (100_000, 16)] {
        assert_eq!(read(&options, 20_000, limit, cores), splits);
    }
    assert_ne!(read(&Options { seed: 2, ..options }, 20_000, 256, 1), splits);
}

#[test]
fn splits_share_no_symbol_and_ids_are_unique() {
    let splits = read(&Options { symbols: 30, ..Options::default() }, 50_000, 256, 1);
    let symbols: Vec<HashSet<_>> =
        splits.iter().map(|split| split.iter().map(|print| print.symbol).collect()).collect();
    for (index, these) in symbols.iter().enumerate() {
        assert!(symbols[..index].iter().all(|those| these.is_disjoint(those)));
    }
    let ids: HashSet<u64> = splits.iter().flatten().map(|print| print.id).collect();
    assert_eq!(ids.len(), 50_000);
}

#[test]
fn prints_arrive_out_of_order_but_never_late() {
    for (bound, rate, seed) in [(5.millis(), 100_000, 1), (110.millis(), 50_000_000, 2)] {
        let options = Options { out_of_order: bound, rate, seed, ..Options::default() };
        let mut most = Span::ZERO;
        for split in read(&options, 400_000, 256, 1) {
            let mut newest = Timestamp::MIN;
            for print in split {
                assert!(print.at >= newest - bound, "late by {}", newest - bound - print.at);
                most = most.max(newest.max(print.at) - print.at);
                newest = newest.max(print.at);
            }
        }
        assert!(most > Span(bound.nanos() / 50), "prints are out of order by {most} at most");
    }
}

#[test]
fn out_of_order_or_not_the_tape_is_what_the_market_prints() {
    let market = Options { events: 200_000, start: Timestamp(0), ..Options::default() };
    let print_of = |event: Event| match event.kind {
        EventKind::Execute { id, shares, price, .. }
        | EventKind::ExecuteWithPrice { id, shares, price, printable: true, .. }
        | EventKind::Trade { id, shares, price, .. } => Some((
            Timestamp(event.at.nanos()),
            id,
            format!("S{:04}", event.symbol + 1).parse().unwrap(),
            price,
            Size::from_units(i64::from(shares) * 100_000_000),
        )),
        _ => None,
    };
    let mut printed: Vec<(Timestamp, u64, Symbol, Price, Size)> =
        Market::new(&market).unwrap().filter_map(print_of).collect();
    printed.sort_unstable();
    for out_of_order in [Span::ZERO, 20.millis()] {
        // More prints than the market has, so that no split ends before it does.
        let splits = read(&Options { out_of_order, ..market.clone() }, 100_000, 256, 1);
        let mut tape: Vec<_> = splits
            .into_iter()
            .flatten()
            .map(|print| (print.at, print.id, print.symbol, print.price, print.size))
            .collect();
        tape.sort_unstable();
        assert_eq!(tape[..printed.len()], printed);
    }
}

#[test]
fn a_split_that_is_not_there_is_an_error() {
    let tape = Tape::new(Options::default(), 10).unwrap();
    assert!(tape.open(8, &context(0, 1)).is_err());
    assert!(Tape::new(Options { symbols: 0, ..Options::default() }, 10).is_err());
}

#[test]
fn a_split_goes_on_where_it_was() {
    let options = Options { out_of_order: 5.millis(), ..Options::default() };
    let whole = read(&options, 100_000, 1_000, 1);
    let tape = Tape::new(options, 100_000).unwrap();
    for cut in [0, 1, 777, 3_000, whole[0].len()] {
        let mut reader = tape.open(0, &context(0, 1)).unwrap();
        let mut prints = Vec::new();
        while prints.len() < cut {
            reader.poll(500.min(cut - prints.len()), &mut prints).unwrap();
        }
        let start = Some(reader.position());
        let mut reader = tape.open(0, &SourceContext { start, ..context(0, 1) }).unwrap();
        while reader.poll(300, &mut prints).unwrap() != Polled::Finished {}
        assert_eq!(prints, whole[0]);
    }
    let start = Some(SplitPosition::after(140_000));
    let error = tape.open(0, &SourceContext { start, ..context(0, 1) }).err().unwrap();
    assert!(error.to_string().contains("has read 140000 prints"), "{error}");
}

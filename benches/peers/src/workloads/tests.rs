//! The formulas give known values, and a naive reference gives the published checksums.

use super::*;
use std::collections::HashMap;

#[test]
fn random_is_splitmix64() {
    // The published first outputs of splitmix64 for the seed 1234567.
    assert_eq!(random(1_234_567, 0), 6_457_827_717_110_365_317);
    assert_eq!(random(1_234_567, 1), 3_203_168_211_198_807_973);
    assert_eq!(random(1_234_567, 2), 9_817_491_932_198_370_423);
}

#[test]
fn ticks_keep_their_bounds_and_none_is_late() {
    for i in 0..100_000 {
        let tick = tick(i);
        assert!(u64::from(tick.symbol) < SYMBOLS);
        assert!((1..=256).contains(&tick.size));
        assert!((1_000_000..1_065_536).contains(&tick.price));
        assert!(tick.ts > watermark_after(i));
    }
}

/// Bars in the plainest form there is: sort by (ts, price), then fold.
fn reference_bars(events: u64) -> Totals {
    let mut groups: HashMap<(u32, i64), Vec<Tick>> = HashMap::new();
    for tick in (0..events).map(tick) {
        groups.entry((tick.symbol, tick.ts.div_euclid(WINDOW_NS))).or_default().push(tick);
    }
    let mut totals = Totals::default();
    for ((symbol, window), mut ticks) in groups {
        ticks.sort_by_key(|tick| (tick.ts, tick.price));
        let prices = || ticks.iter().map(|tick| tick.price);
        let volume: u64 = ticks.iter().map(|tick| u64::from(tick.size)).sum();
        let notional: i64 = ticks.iter().map(|tick| tick.price * i64::from(tick.size)).sum();
        let values = [
            ticks[0].price as u64,
            prices().max().unwrap() as u64,
            prices().min().unwrap() as u64,
            ticks.last().unwrap().price as u64,
            notional as u64 / volume,
            volume,
            ticks.len() as u64,
        ];
        totals.add(Output { symbol: u64::from(symbol), window: window as u64, values }.hash());
    }
    totals
}

#[test]
fn a_million_ticks_give_the_published_checksum() {
    let expected = Totals { outputs: 10_496, checksum: 0x5ee9_c260_8541_492e };
    assert_eq!(reference_bars(1_000_000), expected);
}

#[test]
fn a_million_amounts_give_the_published_checksum() {
    let mut state: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut totals = Totals::default();
    for amount in (0..1_000_000).map(|i| amount(i, 1_000_000)) {
        let (count, sum) = state.entry(amount.key).or_default();
        *count += 1;
        *sum += amount.amount;
        totals.add(Count { key: amount.key, count: *count, sum: *sum }.hash());
    }
    assert_eq!(totals, Totals { outputs: 1_000_000, checksum: 0x085e_ce28_890a_a1b7 });
    assert_eq!(state.values().map(|(_, sum)| sum).sum::<u64>(), 128_371_744);
}

//! A running count and sum per key by hand, on one core or two.

use crate::exchange::{BLOCK_LEN, Core, Halves, connect, drive};
use peers::counts::Counts;
use peers::report::Report;
use peers::threads;
use peers::workloads::{Amount, Totals, amount};
use std::ops::Range;

/// Runs the workload and prints its line; the tables are filled with pages before the clock starts.
pub fn run<C: Counts + Send>(table: &str, cores: usize, events: u64, keys: u64) {
    let (secs, parts) =
        if cores == 1 { one_core::<C>(events, keys) } else { two_cores::<C>(events, keys) };
    let mut totals = Vec::new();
    let mut sum = 0;
    for (part, mut counts) in parts {
        totals.push(part);
        sum += counts.sum();
    }
    Report::new("hand", "keyed-count", cores)
        .word("table", table)
        .number("keys", keys)
        .throughput(events, secs)
        .totals(totals.into_iter().sum())
        .number("sum", sum)
        .print();
}

fn one_core<C: Counts + Send>(events: u64, keys: u64) -> (f64, Vec<(Totals, C)>) {
    threads::run(
        vec![()],
        |_, ()| C::with_capacity(keys),
        |mut counts| {
            let mut totals = Totals::default();
            let mut block = [Amount::default(); BLOCK_LEN];
            for first in (0..events).step_by(BLOCK_LEN) {
                let len = (events - first).min(BLOCK_LEN as u64) as usize;
                for (i, record) in (first..).zip(&mut block[..len]) {
                    *record = amount(i, keys);
                }
                counts.add_all(&block[..len], |count| totals.add(count.hash()));
            }
            (totals, counts)
        },
    )
}

fn two_cores<C: Counts + Send>(events: u64, keys: u64) -> (f64, Vec<(Totals, C)>) {
    threads::run(
        connect(),
        |index, ends| {
            let counts = C::with_capacity(keys.div_ceil(2));
            let index = index as u64;
            (CountCore { index, keys, counts, totals: Totals::default() }, ends)
        },
        |(mut core, ends)| {
            let index = core.index;
            drive(&mut core, index, events, ends);
            (core.totals, core.counts)
        },
    )
}

struct CountCore<C> {
    index: u64,
    keys: u64,
    counts: C,
    totals: Totals,
}

impl<C: Counts> Core for CountCore<C> {
    type Record = Amount;

    #[inline]
    fn generate(&mut self, block: Range<u64>, halves: &mut Halves<Amount>) {
        for record in block.map(|i| amount(i, self.keys)) {
            halves.push((C::half(record.key) ^ self.index) as usize, record);
        }
    }

    #[inline]
    fn add_all(&mut self, records: &[Amount]) {
        let totals = &mut self.totals;
        self.counts.add_all(records, |count| totals.add(count.hash()));
    }
}

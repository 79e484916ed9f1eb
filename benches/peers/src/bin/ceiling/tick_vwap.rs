//! Tumbling OHLC and VWAP bars by hand, on one core or two.

use crate::exchange::{BLOCK_LEN, Core, Halves, connect, drive};
use peers::bars::Windows;
use peers::report::Report;
use peers::threads;
use peers::workloads::{Tick, Totals, tick, watermark_after};
use std::ops::Range;

/// Runs the workload and prints its line.
pub fn run(cores: usize, events: u64) {
    let (secs, totals) = if cores == 1 { one_core(events) } else { two_cores(events) };
    Report::new("hand", "tick-vwap", cores)
        .throughput(events, secs)
        .totals(totals.into_iter().sum())
        .print();
}

fn one_core(events: u64) -> (f64, Vec<Totals>) {
    threads::run(
        vec![()],
        |_, ()| Windows::new(1),
        |mut windows| {
            let mut totals = Totals::default();
            // Generated first and added second: each loop alone keeps more loads in flight.
            let mut block = [Tick::default(); BLOCK_LEN];
            for first in (0..events).step_by(BLOCK_LEN) {
                let end = (first + BLOCK_LEN as u64).min(events);
                let block = &mut block[..(end - first) as usize];
                for (i, slot) in (first..end).zip(block.iter_mut()) {
                    *slot = tick(i);
                }
                for tick in block.iter() {
                    windows.add(tick);
                }
                windows.advance(watermark_after(end - 1), |output| totals.add(output.hash()));
            }
            windows.advance(i64::MAX, |output| totals.add(output.hash()));
            totals
        },
    )
}

fn two_cores(events: u64) -> (f64, Vec<Totals>) {
    threads::run(
        connect(),
        |index, ends| (VwapCore::new(index as u64), ends),
        |(mut core, ends)| {
            let index = core.index;
            drive(&mut core, index, events, ends);
            core.advance(i64::MAX);
            core.totals
        },
    )
}

/// Marks a record that carries its origin's watermark as `ts`, and the origin as `size`.
const WATERMARK: u32 = u32::MAX;

struct VwapCore {
    index: u64,
    windows: Windows,
    /// The last watermark of each origin.
    watermarks: [i64; 2],
    totals: Totals,
}

impl VwapCore {
    fn new(index: u64) -> Self {
        let (windows, totals) = (Windows::new(2), Totals::default());
        Self { index, windows, watermarks: [i64::MIN; 2], totals }
    }

    fn advance(&mut self, watermark: i64) {
        let totals = &mut self.totals;
        self.windows.advance(watermark, |output| totals.add(output.hash()));
    }
}

impl Core for VwapCore {
    type Record = Tick;

    #[inline]
    fn generate(&mut self, block: Range<u64>, halves: &mut Halves<Tick>) {
        let ts = watermark_after(block.end - 1);
        for tick in block.map(tick) {
            halves.push((u64::from(tick.symbol) ^ self.index) as usize, tick);
        }
        let watermark = Tick { ts, price: 0, size: self.index as u32, symbol: WATERMARK };
        halves.push(0, watermark);
        halves.push(1, watermark);
    }

    #[inline]
    fn add_all(&mut self, records: &[Tick]) {
        for record in records {
            if record.symbol == WATERMARK {
                self.watermarks[record.size as usize] = record.ts;
                self.advance(self.watermarks[0].min(self.watermarks[1]));
            } else {
                self.windows.add(record);
            }
        }
    }
}

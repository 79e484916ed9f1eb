//! Five fused stateless steps as a standard iterator: the ceiling of a chain of operators.

use peers::report::Report;
use peers::threads;
use peers::workloads::{Totals, chain};
use std::hint::black_box;

/// Runs the workload and prints its line; the checksum is the sum of the records that pass.
pub fn run(events: u64) {
    let (secs, totals) = threads::run(
        vec![()],
        |_, ()| (),
        |()| {
            let mut totals = Totals::default();
            (0..black_box(events))
                .map(chain::spread)
                .filter(chain::is_high)
                .map(chain::fold)
                .filter(chain::is_not_round)
                .map(chain::scale)
                .for_each(|record| totals.add(record));
            totals
        },
    );
    Report::new("hand", "chain", 1)
        .throughput(events, secs)
        .totals(totals.into_iter().sum())
        .number("ns_per_record", format_args!("{:.3}", secs * 1e9 / events as f64))
        .print();
}

//! Streams that were gathered on one core go on in every way that streams can.
//!
//! Method: each kind of edge after `gather`, on three simulated cores; a ring that nobody writes
//! would keep the job from ending.

use tailwater::prelude::*;

#[test]
fn every_edge_can_follow_a_stage_on_one_core() {
    for seed in 0..8 {
        let job = Job::new("gathered");
        let results = collect();
        let numbers = from_splits((0..5u64).map(|split| vec![split; 10]).collect());
        let (some, others) = job.source(numbers).unstamped().gather().gather().split(|n| *n < 2);
        let all = some.rebalance().union(others.map(|n| n));
        all.gather().key_by(|n| *n).sum(|n| *n, |n, sum| *n = sum).sink(results.clone());
        let report = job.run(Local::seeded(3, seed)).unwrap();
        assert_eq!((report.records, report.outputs), (50, 50));
        assert_eq!(results.take().into_iter().max(), Some(40));
    }
}

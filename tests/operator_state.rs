//! What an operator remembers on a core, without a key: lists that are dealt out and copied over
//! restores on other numbers of cores, in whole jobs.
//!
//! Method: jobs whose splits are fed by hand, so that the test says what is on which core; results
//! must be there once whatever happens between.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use tailwater::operators::{Sink, UnkeyedProcessOperator};
use tailwater::prelude::*;
use tailwater::state::checkpoint::{StateSort, inspect};
use tailwater::state::store::{CheckpointStore, DirectoryStore, SimDisk};
use tailwater::state::{OperatorState, Spread};
use tailwater::testing::{JobHarness, TestSink, TestSource};

/// What each core had at the last restore.
type Restored<T> = Arc<Mutex<BTreeMap<u32, Vec<T>>>>;

#[operator_state]
struct Batch {
    numbers: ListState<u64>,
}

/// Hands numbers on by so many, and by fewer at the end.
#[derive(Clone)]
struct Batches {
    of: usize,
    restored: Restored<u64>,
}

fn batches(of: usize) -> Batches {
    Batches { of, restored: Restored::default() }
}

impl Batches {
    fn hand_on(batch: &mut Batch, context: &mut UnkeyedContext<Vec<u64>>) {
        context.emit(batch.numbers.drain(..).collect());
    }
}

impl UnkeyedProcess for Batches {
    type In = u64;
    type State = Batch;
    type Out = Vec<u64>;

    fn on_restore(&mut self, batch: &mut Batch, core: u32, _: u32) {
        self.restored.lock().unwrap().insert(core, batch.numbers.to_vec());
    }

    fn on_record(&mut self, n: u64, batch: &mut Batch, context: &mut UnkeyedContext<Vec<u64>>) {
        batch.numbers.push(n);
        if batch.numbers.len() == self.of {
            Self::hand_on(batch, context);
        }
    }

    fn on_end(&mut self, batch: &mut Batch, context: &mut UnkeyedContext<Vec<u64>>) {
        Self::hand_on(batch, context);
    }
}

/// The numbers of a source through a process on each core.
fn through<P: UnkeyedProcess<In = u64, Out: Record>>(
    source: &TestSource<u64>,
    process: P,
    sink: impl Sink<P::Out>,
) -> Job {
    let job = Job::new("lists");
    job.source(source.clone()).unstamped().process_unkeyed(process).sink(sink);
    job
}

fn sorted(batches: Vec<Vec<u64>>) -> Vec<u64> {
    let mut numbers = batches.concat();
    numbers.sort_unstable();
    numbers
}

// SEMANTICS 62
#[test]
fn lists_are_dealt_in_blocks_and_stay_on_as_many_cores() {
    for (sizes, due) in [
        ([3, 2], &[&[0, 1][..], &[2, 3], &[4]][..]),
        ([3, 1], &[&[0, 1, 2], &[3]]),
        ([1, 1], &[&[0], &[1], &[], &[]]),
    ] {
        let (source, process, results) = (TestSource::with_splits(2), batches(100), collect());
        let job = through(&source, process.clone(), results.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, 3)).unwrap();
        source.split(0).extend(0..sizes[0]);
        source.split(1).extend(sizes[0]..sizes[0] + sizes[1]);
        harness.run_until_idle().unwrap();
        harness.checkpoint().unwrap();
        // What comes after the checkpoint comes again.
        source.push(7);
        harness.run_until_idle().unwrap();

        harness.restart(due.len() as u32).unwrap();
        let restored: Vec<_> = process.restored.lock().unwrap().values().cloned().collect();
        assert_eq!(restored, due);
        source.end();
        harness.run_until_idle().unwrap();
        assert!(harness.is_finished());
        let all: Vec<_> = (0..sizes[0] + sizes[1]).chain([7]).collect();
        assert_eq!(sorted(results.take()), all);
    }
}

#[test]
fn each_number_is_handed_on_once_over_many_restarts() {
    for seed in 0..10 {
        let (source, results) = (TestSource::with_splits(3), collect());
        let job = through(&source, batches(4), results.clone());
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        for (round, cores) in [1, 3, 2, 4, 2, 3].into_iter().enumerate() {
            let first = round as u64 * 30;
            for split in 0..3 {
                source.split(split).extend((0..10).map(|n| first + 10 * split as u64 + n));
            }
            for _ in 0..seed {
                harness.round().unwrap();
            }
            harness.checkpoint().unwrap();
            harness.restart(cores).unwrap();
        }
        source.end();
        harness.run_until_idle().unwrap();
        assert_eq!(sorted(results.take()), (0..180).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[operator_state]
struct Offsets {
    /// How many numbers of each remainder by four came.
    own: UnionState<(u64, u64)>,
}

/// Tells how many numbers of the same remainder came, which all come to one core.
#[derive(Clone, Default)]
struct Counts {
    restored: Restored<(u64, u64)>,
}

impl UnkeyedProcess for Counts {
    type In = u64;
    type State = Offsets;
    type Out = (u64, u64);

    fn on_restore(&mut self, offsets: &mut Offsets, core: u32, cores: u32) {
        self.restored.lock().unwrap().insert(core, offsets.own.to_vec());
        offsets.own.retain(|(remainder, _)| remainder % u64::from(cores) == u64::from(core));
    }

    fn on_record(
        &mut self,
        number: u64,
        offsets: &mut Offsets,
        context: &mut UnkeyedContext<(u64, u64)>,
    ) {
        let (own, remainder) = (&mut offsets.own, number % 4);
        let place = own.iter().position(|(of, _)| *of == remainder).unwrap_or_else(|| {
            own.push((remainder, 0));
            own.len() - 1
        });
        own[place].1 += 1;
        context.emit(own[place]);
    }
}

// SEMANTICS 63
#[test]
fn every_core_knows_the_offsets_of_all() {
    let (source, process, results) = (TestSource::new(), Counts::default(), collect());
    let job = Job::new("offsets");
    job.source(source.clone())
        .unstamped()
        .partition_custom(|n: &u64, cores| (n % 4) as usize % cores)
        .process_unkeyed(process.clone())
        .sink(results.clone());
    let mut harness = JobHarness::new(job, Local::seeded(1, 5)).unwrap();
    let mut due = Vec::new();
    for (round, cores) in (0..).zip([2, 4, 3, 3, 1]) {
        source.extend(0..8);
        harness.run_until_idle().unwrap();
        due.extend((0..4).flat_map(|n| [(n, 2 * round + 1), (n, 2 * round + 2)]));
        harness.checkpoint().unwrap();
        harness.restart(cores).unwrap();
        let restored = std::mem::take(&mut *process.restored.lock().unwrap());
        assert_eq!(restored.len() as u32, cores);
        for mut offsets in restored.into_values() {
            offsets.sort_unstable();
            assert_eq!(offsets, [0, 1, 2, 3].map(|n| (n, 2 * (round + 1))));
        }
    }
    source.end();
    harness.run_until_idle().unwrap();
    let mut told = results.take();
    told.sort_unstable();
    due.sort_unstable();
    assert_eq!(told, due);
}

// SEMANTICS 65, 79
#[test]
fn a_union_list_is_in_a_checkpoint_when_none_or_all_of_its_cores_have_ended() {
    for seed in 0..10 {
        let (source, results) = (TestSource::with_splits(2), collect());
        let job = through(&source, Counts::default(), results.clone());
        // No failure is tolerated.
        let mut harness = JobHarness::new(job, Local::seeded(2, seed)).unwrap();
        source.split(0).extend([0, 0]);
        source.split(1).extend([1]);
        harness.run_until_idle().unwrap();
        let whole = harness.checkpoint().unwrap();

        source.split(0).end();
        harness.run_until_idle().unwrap();
        for _ in 0..3 {
            let error = harness.checkpoint().unwrap_err().to_string();
            assert!(error.contains("Counts` has a union list"), "{error}");
            harness.advance_processing_time(1.secs()).unwrap();
        }
        // The job goes on, and a restart takes the one before.
        source.split(1).push(1);
        harness.run_until_idle().unwrap();
        harness.restart(2).unwrap();
        harness.run_until_idle().unwrap();
        assert!(harness.checkpoint().is_err());
        harness.advance_processing_time(1.secs()).unwrap();
        source.split(1).end();
        harness.run_until_idle().unwrap();
        assert!(harness.is_finished(), "the last checkpoint finds that all have ended");
        let mut told = results.take();
        told.sort_unstable();
        assert_eq!(told, [(0, 1), (0, 2), (1, 1), (1, 2)], "seed {seed}, checkpoint {whole}");
    }
}

#[test]
fn other_lists_do_not_mind_who_has_ended() {
    let (source, results) = (TestSource::with_splits(2), collect());
    let job = through(&source, batches(100), results.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 1)).unwrap();
    source.split(0).extend([1, 2]);
    source.split(0).end();
    source.split(1).push(3);
    harness.run_until_idle().unwrap();
    harness.checkpoint().unwrap();
    assert_eq!(results.take(), [[1, 2]]);
    // The end of the first core is not told twice.
    harness.restart(2).unwrap();
    source.split(1).end();
    harness.run_until_idle().unwrap();
    assert_eq!(results.take(), [[3]]);
}

#[operator_state]
struct Narrow {
    numbers: ListState<u32>,
}

#[operator_state]
struct Renamed {
    items: ListState<u64>,
}

/// Does nothing, with other state.
struct Other<S>(PhantomData<fn(S)>);

impl<S> Clone for Other<S> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<S: OperatorState> UnkeyedProcess for Other<S> {
    type In = u64;
    type State = S;
    type Out = u64;

    fn on_record(&mut self, _: u64, _: &mut S, _: &mut UnkeyedContext<u64>) {}
}

/// The job of `process` under the same names, whose checkpoints are on this disk.
fn kept<P>(disk: &SimDisk, source: &TestSource<u64>, process: P) -> Result<JobHarness>
where
    P: UnkeyedProcess<In = u64, Out: Record>,
{
    let disk = disk.clone();
    let open = move || -> Result<Arc<dyn CheckpointStore>> {
        Ok(Arc::new(DirectoryStore::create(disk.clone(), "/checkpoints")?))
    };
    let checkpoints = Some(Checkpoints::new(OpenStore::new("memory", open), None));
    let job = Job::new("lists");
    let operator = UnkeyedProcessOperator::new(process).named("batches");
    job.source(source.clone()).named("numbers").unstamped().then(operator).sink(TestSink::new());
    JobHarness::new(job, Local { checkpoints, restore: Restore::Latest, ..Local::seeded(2, 9) })
}

#[test]
fn a_checkpoint_shows_the_lists_and_is_refused_where_they_have_changed() {
    let (disk, source) = (SimDisk::new(0), TestSource::new());
    source.extend([1, 2, 3]);
    let mut harness = kept(&disk, &source, batches(100)).unwrap();
    harness.run_until_idle().unwrap();
    let checkpoint = harness.checkpoint().unwrap();
    drop(harness);

    let store = DirectoryStore::create(disk.clone(), "/checkpoints").unwrap();
    let report = inspect(&store, checkpoint).unwrap();
    let list = report.states.iter().find(|state| state.entry.state == "numbers").unwrap();
    assert_eq!((list.entry.operator.as_str(), list.count), ("numbers/batches", 3));
    assert!(matches!(list.entry.sort, StateSort::List { spread: Spread::Split, .. }));
    drop(store);

    let error = |refused: Result<JobHarness>| refused.map(drop).unwrap_err().to_string();
    let changed = error(kept(&disk, &source, Other::<Narrow>(PhantomData)));
    let due = "the items of `numbers/batches/numbers` were `u64`, in the job `u32`";
    assert!(changed.contains(due), "{changed}");
    let missing = error(kept(&disk, &source, Other::<Renamed>(PhantomData)));
    assert!(missing.contains("the checkpoint has no `numbers/batches/items`"), "{missing}");
}

#[test]
fn lists_count_in_the_memory_of_state() {
    let job = Job::new("lists");
    job.source(from_vec((0..100_000).collect::<Vec<u64>>()))
        .unstamped()
        .process_unkeyed(batches(100_000))
        .sink(collect());
    let local = Local { state_memory: Some(1 << 18), ..Local::seeded(1, 0) };
    let error = job.run(local).unwrap_err().to_string();
    assert!(error.contains("--state-memory"), "{error}");
}

/// A job over three splits whose times cross.
fn timed(results: tailwater::connectors::Collected<Vec<u64>>, gathered: bool) -> Job {
    let job = Job::new("lists");
    let splits = (0..3).map(|split| (0..20).map(|n| 3 * n + split).collect()).collect();
    let numbers = job
        .source(from_splits(splits))
        .event_time(|n: &u64| Timestamp(*n as i64), Watermarks::monotonous());
    if gathered {
        numbers.gather().process_unkeyed(batches(7)).sink(results);
    } else {
        numbers.process_unkeyed(batches(7)).sink(results);
    }
    job
}

#[test]
fn a_deterministic_merge_takes_it_on_one_core() {
    for cores in 1..4 {
        let results = collect();
        let local = Local::seeded(cores, 4).deterministically();
        timed(results.clone(), true).run(local).unwrap();
        let due: Vec<_> = (0..60).collect();
        assert_eq!(results.take(), due.chunks(7).map(<[u64]>::to_vec).collect::<Vec<_>>());
    }
    let local = Local::seeded(2, 4).deterministically();
    let error = timed(collect(), false).run(local).unwrap_err().to_string();
    assert!(error.contains("gather()"), "{error}");
}

#[test]
fn batch_mode_runs_it_as_it_is() {
    let results = collect();
    let local = Local { mode: RuntimeMode::Batch, ..Local::seeded(2, 4) };
    timed(results.clone(), false).run(local).unwrap();
    assert_eq!(sorted(results.take()), (0..60).collect::<Vec<_>>());
}

/// What is emitted at the end is in time for the windows that follow.
#[test]
fn what_is_left_at_the_end_is_not_late() {
    let (source, counts) = (TestSource::with_splits(2), collect());
    let job = Job::new("lists");
    job.source(source.clone())
        .event_time(|n: &u64| Timestamp(*n as i64), Watermarks::monotonous())
        .process_unkeyed(batches(100))
        .flat_map(|numbers| numbers)
        .event_time(|n: &u64| Timestamp(*n as i64), Watermarks::bounded(100.nanos()))
        .key_by(|n| n % 2)
        .window(Tumbling::of(1.secs()))
        .aggregate(count())
        .map(|window| (window.key, window.value))
        .sink(counts.clone());
    let mut harness = JobHarness::new(job, Local::seeded(2, 0)).unwrap();
    source.split(0).extend(0..10);
    source.split(1).extend(10..20);
    source.end();
    harness.run_until_idle().unwrap();
    let mut counts = counts.take();
    counts.sort_unstable();
    assert_eq!(counts, [(0, 10), (1, 10)]);
}

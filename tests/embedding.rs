//! A job inside a program: records go in through a ring and come out through one, and both ends say
//! so when the other is gone.
//!
//! Method: the host program's side of each promise, on each driver and idle policy, under a
//! watchdog. The host keeps the job's handle all the while, because it must not be the handle that
//! lets a failed job's rings end.

mod watchdog;

use tailwater::embed::{EgressSink, IngressSource, Refused};
use tailwater::prelude::*;
use tailwater::{ErrorKind, JobHandle};
use watchdog::within;

fn ways() -> Vec<Local> {
    let mut ways = Vec::new();
    for driver in [Driver::Threads, Driver::Glommio] {
        for idle in [Idle::Yield, Idle::Park] {
            for cores in [1, 3] {
                ways.push(Local { driver, idle, ..Local::cores(cores) });
            }
        }
    }
    ways.push(Local::seeded(2, 1));
    ways
}

/// Doubles each number, on the core that owns it.
fn doubling(source: IngressSource<u64>, sink: EgressSink<u64>, local: Local) -> JobHandle {
    let job = Job::new("embedded");
    job.source(source).unstamped().key_by(|number| *number).records().map(|n| n * 2).sink(sink);
    job.start(local).unwrap()
}

#[test]
fn what_goes_in_comes_out_and_the_end_follows() {
    const COUNT: u64 = 2_000;
    for local in ways() {
        let how = format!("{local:?}");
        let (mut ingress, source) = ingress(64);
        let (mut egress, sink) = egress(64);
        let handle = doubling(source, sink, local);
        let mut numbers = within(60, &how, || {
            let mut received = Vec::new();
            let mut batch: Vec<u64> = (0..COUNT / 2).collect();
            while !batch.is_empty() {
                ingress.push_batch(&mut batch);
                egress.recv_batch(100, &mut received);
            }
            for number in COUNT / 2..COUNT {
                ingress.push(number).unwrap();
                received.extend(egress.try_recv());
            }
            drop(ingress);
            received.extend(std::iter::from_fn(|| egress.recv()));
            assert!(egress.is_ended() && egress.try_recv().is_none());
            let report = handle.join().unwrap();
            assert_eq!((report.records, report.outputs), (COUNT, COUNT));
            received.into_iter().map(|result| result.value).collect::<Vec<_>>()
        });
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq((0..COUNT).map(|number| number * 2)), "{how}");
    }
}

#[test]
fn a_full_ring_gives_the_record_back() {
    let (mut ingress, source) = ingress(4);
    assert_eq!(ingress.room(), 4);
    for number in 0..4u64 {
        assert_eq!(ingress.try_push(number), Ok(()));
    }
    assert_eq!(ingress.room(), 0);
    assert_eq!(ingress.try_push(4), Err(Refused::Full(4)));
    let mut batch = vec![5, 6];
    assert_eq!((ingress.push_batch(&mut batch), batch), (0, vec![5, 6]));
    drop(source);
    assert!(ingress.is_ended());
    assert_eq!(ingress.try_push(4), Err(Refused::Ended(4)));
    assert_eq!(ingress.push(4).unwrap_err().kind(), ErrorKind::Cancelled);
}

/// A reader that does not read holds the job back, and the job the writer, until all rings are
/// full.
#[test]
fn back_pressure_reaches_the_host() {
    for local in ways() {
        let how = format!("{local:?}");
        let (mut ingress, source) = ingress(16);
        let (mut egress, sink) = egress(16);
        let handle = doubling(source, sink, Local { ring_capacity: 16, ..local });
        within(60, &how, || {
            let mut pushed = 0u64;
            // Full and with nothing more going out for many looks: everything in between is full.
            let mut refused = 0;
            while refused < 20_000 && pushed < 1_000_000 {
                match ingress.try_push(pushed) {
                    Ok(()) => (pushed, refused) = (pushed + 1, 0),
                    Err(Refused::Full(_)) => {
                        refused += 1;
                        std::thread::yield_now();
                    }
                    Err(Refused::Ended(_)) => panic!("the job has ended"),
                }
            }
            assert!(pushed < 100_000, "{how}: {pushed} records found a place");
            drop(ingress);
            let received = std::iter::from_fn(|| egress.recv()).count();
            assert_eq!(received as u64, pushed, "{how}");
            handle.join().unwrap();
        });
    }
}

/// One record at a time, with pauses in which the job falls asleep.
#[test]
fn a_job_that_sleeps_is_woken() {
    for driver in [Driver::Threads, Driver::Glommio] {
        let local = Local { driver, idle: Idle::Park, marker_interval: None, ..Local::cores(2) };
        let (mut ingress, source) = ingress(8);
        let (mut egress, sink) = egress(8);
        let handle = doubling(source, sink, local);
        within(60, "round trips of a sleeping job", || {
            for number in 0..200 {
                ingress.push(number).unwrap();
                assert_eq!(egress.recv().unwrap().value, number * 2);
                for _ in 0..20 {
                    std::thread::yield_now();
                }
            }
            drop(ingress);
            assert!(egress.recv().is_none());
            handle.join().unwrap();
        });
    }
}

#[test]
fn a_reader_that_goes_away_fails_the_job() {
    for local in ways() {
        let how = format!("{local:?}");
        let (mut ingress, source) = ingress(8);
        let (mut egress, sink) = egress(8);
        let handle = doubling(source, sink, local);
        let error = within(60, &how, || {
            ingress.push(1).unwrap();
            egress.recv().unwrap();
            drop(egress);
            let mut number = 0;
            while ingress.push(number).is_ok() {
                number += 1;
            }
            assert!(ingress.is_ended());
            handle.join().unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{how}");
        assert!(error.to_string().contains("the egress was dropped by its reader"), "{error}");
    }
}

#[test]
fn both_ends_see_a_job_that_fails() {
    for local in ways() {
        let how = format!("{local:?}");
        let (mut ingress, source) = ingress(8);
        let (mut egress, sink) = egress::<u64>(8);
        let job = Job::new("bad");
        job.source(source)
            .unstamped()
            .key_by(|number| *number)
            .records()
            .try_map(|number: u64| if number == 3 { Err("no good") } else { Ok(number) })
            .sink(sink);
        let handle = job.start(local).unwrap();
        within(60, &how, || {
            let mut number = 0;
            while ingress.push(number).is_ok() {
                number += 1;
                while egress.try_recv().is_some() {}
            }
            while egress.recv().is_some() {}
            let error = handle.join().unwrap_err();
            assert!(error.to_string().contains("no good"), "{error}");
        });
    }
}

/// The job fails before its ends are opened: they must end all the same.
#[test]
fn both_ends_see_a_job_that_never_opens() {
    for local in ways() {
        let how = format!("{local:?}");
        let (mut first, source) = ingress::<u64>(8);
        let (mut egress, sink) = egress::<u64>(8);
        let job = Job::new("twice");
        let (second, taken) = ingress::<u64>(8);
        drop(second);
        let context = SourceOpener::context();
        drop(tailwater::operators::Source::open(&taken, 0, &context).unwrap());
        // The source that was taken fails first; the others are never opened on that core.
        let refused = job.source(taken).named("taken").unstamped();
        job.source(source).unstamped().union(refused).sink(sink);
        let handle = job.start(local).unwrap();
        within(60, &how, || {
            while first.push(1).is_ok() {}
            assert!(egress.recv().is_none());
            let error = handle.join().unwrap_err();
            assert!(error.to_string().contains("one job only"), "{error}");
        });
    }
}

/// Opens a source as a core would.
struct SourceOpener;

impl SourceOpener {
    fn context() -> tailwater::operators::SourceContext {
        tailwater::operators::SourceContext {
            core: 0,
            cores: 1,
            counters: tailwater::Counters::default(),
            clock: std::sync::Arc::new(tailwater::ManualClock::default()),
            waker: tailwater::operators::Waker::none(),
            inline: true,
            start: None,
        }
    }
}

#[test]
fn an_ingress_is_not_read_again_unless_the_host_program_pushes_again() {
    use tailwater::operators::{Source, SourceContext, SplitPosition};

    let stored = ["ingress".to_owned()];
    let (_, source) = ingress::<u64>(8);
    let error = source.resume(&stored, 1).unwrap_err().to_string();
    assert!(error.contains("cannot be read again"), "{error}");

    let (mut push, source) = ingress::<u64>(8);
    let source = source.host_replays();
    assert_eq!(source.resume(&stored, 1).unwrap(), stored);
    assert_eq!(push.records_before(), None);
    let start = Some(SplitPosition::after(17));
    let context = SourceContext { start, ..SourceOpener::context() };
    let mut reader = source.open(0, &context).unwrap();
    assert_eq!(push.records_before(), Some(17));
    push.push(18).unwrap();
    let mut out = Vec::new();
    reader.poll(8, &mut out).unwrap();
    assert_eq!((out, reader.position().records), (vec![18], 18));
}

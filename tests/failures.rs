//! A failure ends the job with the operator's name, the record's event time and the cause, and
//! nothing hangs.
//!
//! Method: one job for each place where user code can fail, on plain threads that park, on glommio
//! and on the seeded driver; the other split of the source never ends, so that only an orderly stop
//! of the other cores lets `join` return. A watchdog ends the test where it does not.

mod ends;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ends::{sink_fn, source_fn};
use tailwater::operators::{Operator, Polled, Source};
use tailwater::prelude::*;
use tailwater::{ErrorKind, Stream};
use watchdog::within;

/// Of the record that user code fails on.
const BAD: u64 = 700;

/// Two splits: 0, 2, 4 .. and 1, 3, 5 .., without an end.
fn endless() -> impl Source<Out = u64> {
    source_fn(2, |split| {
        let mut next = split as u64;
        Ok(move |limit: usize, out: &mut Vec<u64>| {
            for _ in 0..limit {
                out.push(next);
                next += 2;
            }
            Ok(Polled::Ready)
        })
    })
}

fn ways() -> [Local; 4] {
    [
        Local { driver: Driver::Threads, idle: Idle::Park, ..Local::cores(2) },
        Local { driver: Driver::Glommio, idle: Idle::Park, ..Local::cores(3) },
        Local { driver: Driver::Glommio, ..Local::cores(2) },
        Local::seeded(3, 5),
    ]
}

/// Panics come out of threads of the engine by the dozen here: only the others are printed.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            if !thread.name().is_some_and(|name| name.starts_with("tailwater")) {
                print(panic);
            }
        }));
    });
}

/// Builds the job for each way to run it, and asserts that its error tells all of `story`.
fn fails(kind: ErrorKind, story: &[&str], build: impl Fn(&Job)) {
    hush();
    for local in ways() {
        let job = Job::new("bad");
        build(&job);
        let how = format!("{story:?}, {local:?}");
        let error = within(30, &how, || job.run(local)).unwrap_err();
        let text = error.to_string();
        for part in story {
            assert!(text.contains(part), "{how}: {text}");
        }
        assert_eq!(error.kind(), kind, "{how}: {text}");
        assert!(text.starts_with("job `bad` failed"), "{how}: {text}");
    }
}

fn stamped(job: &Job) -> Stream<u64, impl Operator<In = u64, Out = u64> + Clone + use<>> {
    job.source(endless())
        .event_time(|number| Timestamp(*number as i64), Watermarks::bounded(Span(1_000)))
}

fn fail_at_bad(number: &u64) -> u64 {
    assert!(*number != BAD, "no good");
    *number
}

#[test]
fn panics_of_stateless_operators() {
    let story = |operator| [operator, "the record at 700", "no good"];
    fails(ErrorKind::User, &story("`map`"), |job| {
        stamped(job).map(|n| fail_at_bad(&n)).sink(collect());
    });
    fails(ErrorKind::User, &story("`filter`"), |job| {
        stamped(job).filter(|n| fail_at_bad(n) > 0).sink(collect());
    });
    fails(ErrorKind::User, &story("`flat_map`"), |job| {
        stamped(job).flat_map(|n| [fail_at_bad(&n)]).sink(collect());
    });
    fails(ErrorKind::User, &story("`inspect`"), |job| {
        stamped(job)
            .inspect(|_, n| {
                fail_at_bad(n);
            })
            .sink(collect());
    });
    fails(ErrorKind::User, &story("`try_map`"), |job| {
        stamped(job).try_map(|n| if n == BAD { Err("no good") } else { Ok(n) }).sink(collect());
    });
}

#[test]
fn panics_of_keyed_operators_and_windows() {
    let story = |operator| [operator, "the record at 700", "no good"];
    fails(ErrorKind::User, &story("`key_by`"), |job| {
        stamped(job).key_by(fail_at_bad).records().sink(collect());
    });
    fails(ErrorKind::User, &story("`fold`"), |job| {
        stamped(job)
            .key_by(|n| n % 7)
            .fold(0, |sum: &mut u64, n| *sum += fail_at_bad(n))
            .sink(collect());
    });
    fails(ErrorKind::User, &story("`reduce`"), |job| {
        stamped(job).key_by(|n| n % 7).reduce(|_, n| fail_at_bad(&n)).sink(collect());
    });
    fails(ErrorKind::User, &["window`", "no good", "the record at 700"], |job| {
        stamped(job)
            .key_by(|n| n % 7)
            .window(Tumbling::of(Span(100)))
            .aggregate(FailsToAdd::default())
            .sink(collect());
    });
    fails(ErrorKind::User, &["window`", "no good", "the record at 700"], |job| {
        stamped(job)
            .key_by(|n| n % 7)
            .window(Session::with_gap(Span(3)))
            .aggregate(FailsToAdd::default())
            .sink(collect());
    });
    fails(ErrorKind::User, &["`in_order`", "the record at 700", "no good"], |job| {
        job.source(endless())
            .event_time(|n| Timestamp((n / 10 * 10) as i64), Watermarks::bounded(Span(1_000)))
            .in_order(fail_at_bad)
            .sink(collect());
    });
}

#[record]
#[derive(Default)]
struct FailsToAdd(u64);

impl Aggregate<u64> for FailsToAdd {
    type Output = u64;

    fn add(&mut self, number: &u64) {
        self.0 += fail_at_bad(number);
    }

    fn merge(&mut self, other: &Self) {
        self.0 += other.0;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn failures_of_event_time() {
    fails(ErrorKind::User, &["`script`", "no good"], |job| {
        job.source(endless())
            .event_time(|n| Timestamp(fail_at_bad(n) as i64), Watermarks::monotonous())
            .sink(collect());
    });
    fails(ErrorKind::User, &["`event_time`", "no good"], |job| {
        job.source(endless())
            .unstamped()
            .event_time(|n| Timestamp(fail_at_bad(n) as i64), Watermarks::monotonous())
            .sink(collect());
    });
    fails(ErrorKind::Configuration, &["window`", ".event_time(..)"], |job| {
        job.source(endless())
            .unstamped()
            .key_by(|n| n % 7)
            .window(Tumbling::of(Span(100)))
            .aggregate(count())
            .sink(collect());
    });
}

/// What is wrong with the end of a job under test.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    OpenError,
    OpenPanic,
    Error,
    Panic,
}

fn refuse() -> Error {
    Error::new(ErrorKind::Io, "no good")
}

#[test]
fn failures_of_sources() {
    for fault in [Fault::OpenError, Fault::OpenPanic, Fault::Error, Fault::Panic] {
        let source = move || {
            source_fn(2, move |split| {
                match fault {
                    Fault::OpenError if split == 1 => return Err(refuse()),
                    Fault::OpenPanic if split == 1 => panic!("no good"),
                    _ => {}
                }
                let mut polls = 0;
                Ok(move |_: usize, out: &mut Vec<u64>| {
                    polls += 1;
                    out.push(polls);
                    match fault {
                        Fault::Error if split == 1 && polls == 50 => Err(refuse()),
                        Fault::Panic if split == 1 && polls == 50 => panic!("no good"),
                        _ => Ok(Polled::Ready),
                    }
                })
            })
        };
        let (kind, story): (_, &[&str]) = match fault {
            Fault::OpenError => (ErrorKind::Io, &["cannot open `split-1` of source `script`"]),
            Fault::OpenPanic => (ErrorKind::User, &["`script`", "panicked"]),
            Fault::Error => (ErrorKind::Io, &["cannot read `split-1` of source `script`"]),
            Fault::Panic => (ErrorKind::User, &["`script`", "panicked"]),
        };
        let story = [story, &["no good"]].concat();
        fails(kind, &story, |job| {
            job.source(source()).unstamped().key_by(|n| *n).records().sink(collect());
        });
    }
}

#[test]
fn failures_of_sinks() {
    for fault in [Fault::OpenError, Fault::OpenPanic, Fault::Error, Fault::Panic] {
        let (kind, story): (_, &[&str]) = match fault {
            Fault::OpenError => (ErrorKind::Io, &["cannot open the sink `script-sink`"]),
            Fault::OpenPanic | Fault::Panic => (ErrorKind::User, &["`script-sink`", "panicked"]),
            Fault::Error => (ErrorKind::Io, &["sink `script-sink` failed"]),
        };
        let story = [story, &["no good"]].concat();
        fails(kind, &story, |job| {
            stamped(job).key_by(|n| *n).records().sink(sink_fn(move |context| {
                let last = context.core + 1 == context.cores;
                match fault {
                    Fault::OpenError if last => return Err(refuse()),
                    Fault::OpenPanic if last => panic!("no good"),
                    _ => {}
                }
                let mut writes = 0;
                Ok(move |batch: &mut Vec<Stamped<u64>>| {
                    writes += 1;
                    batch.clear();
                    match fault {
                        Fault::Error if last && writes == 5 => Err(refuse()),
                        Fault::Panic if last && writes == 5 => panic!("no good"),
                        _ => Ok(()),
                    }
                })
            }));
        });
    }
}

#[test]
fn nothing_flows_before_everything_is_open() {
    for local in ways() {
        let how = format!("{local:?}");
        let seen = Arc::new(AtomicU64::new(0));
        let of_job = seen.clone();
        let job = Job::new("closed");
        stamped(&job)
            .inspect(move |_, _| {
                of_job.fetch_add(1, Relaxed);
            })
            .key_by(|n| *n)
            .records()
            .sink(sink_fn(|context| {
                if context.core + 1 == context.cores {
                    return Err(refuse());
                }
                Ok(|batch: &mut Vec<Stamped<u64>>| {
                    batch.clear();
                    Ok(())
                })
            }));
        within(30, &how, || job.run(local)).unwrap_err();
        assert_eq!(seen.load(Relaxed), 0, "{how}");
    }
}

/// A task that fails in the very round in which another one ends.
#[test]
fn no_failure_is_lost_where_another_task_ends() {
    for bad in 0..60 {
        let job = Job::new("two");
        job.source(source_fn(1, |_| {
            let mut polls = 0;
            Ok(move |_: usize, out: &mut Vec<u64>| {
                polls += 1;
                out.push(polls);
                Ok(if polls < 20 { Polled::Ready } else { Polled::Finished })
            })
        }))
        .unstamped()
        .sink(collect());
        let numbers = source_fn(1, |_| {
            let mut polls = 0;
            Ok(move |_: usize, out: &mut Vec<u64>| {
                out.push(polls);
                polls += 1;
                Ok(if polls < 100 { Polled::Ready } else { Polled::Finished })
            })
        });
        job.source(numbers)
            .named("numbers")
            .unstamped()
            .try_map(move |n| if n == bad { Err("no good") } else { Ok(n) })
            .sink(collect());
        let local = Local { driver: Driver::Threads, batch_max: 1, ..Local::cores(1) };
        let outcome = within(30, "two tasks", || job.run(local));
        assert!(outcome.is_err(), "the failure on {bad} was lost");
    }
}

fn refused(part: &str, local: Local, build: impl Fn(&Job)) {
    let job = Job::new("refused");
    build(&job);
    let error = within(30, part, || job.run(local)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{part}: {error}");
    assert!(error.to_string().contains(part), "{part}: {error}");
}

fn some(job: &Job) -> Stream<u64, impl Operator<In = u64, Out = u64> + Clone + use<>> {
    job.source(from_vec(vec![1u64, 2]))
        .event_time(|n| Timestamp(*n as i64), Watermarks::monotonous())
}

#[test]
fn jobs_that_make_no_sense_are_refused() {
    let local = || Local { driver: Driver::Threads, ..Local::cores(1) };
    refused("has no source", local(), |_| {});
    refused("has no source", local(), |job| drop(some(job)));
    refused("leads nowhere", local(), |job| drop(some(job).rebalance()));
    refused("nothing to read", local(), |job| {
        job.source(from_splits(Vec::<Vec<u64>>::new())).unstamped().sink(collect());
    });
    let windows = |windows: Tumbling| {
        move |job: &Job| {
            some(job).key_by(|n| *n).window(windows).aggregate(count()).sink(collect());
        }
    };
    refused("offset", local(), windows(Tumbling::of(Span(5)).offset(Span(5))));
    refused("offset", local(), windows(Tumbling::of(Span(5)).offset(Span(-6))));
    refused("positive size", local(), windows(Tumbling::of(Span(0))));
    refused("positive size and slide", local(), |job| {
        let windows = Sliding::of(Span(5)).every(Span(-1));
        some(job).key_by(|n| *n).window(windows).aggregate(count()).sink(collect());
    });
    refused("positive gap", local(), |job| {
        let windows = Session::with_gap(Span(0));
        some(job).key_by(|n| *n).window(windows).aggregate(count()).sink(collect());
    });
}

#[test]
fn ways_to_run_that_make_no_sense_are_refused() {
    let local = || Local { driver: Driver::Threads, ..Local::cores(1) };
    let job = |job: &Job| some(job).sink(collect());
    refused("ring_capacity", Local { ring_capacity: 0, ..local() }, job);
    refused("batch_max", Local { batch_max: 0, ..local() }, job);
    refused("interval", Local { marker_interval: Some(Span(0)), ..local() }, job);
    let store: OpenStore = "no/directory".parse().unwrap();
    let checkpoints = Some(Checkpoints::new(store, Some(Span(0))));
    refused("interval", Local { checkpoints, ..local() }, job);
    refused("say where", Local { restore: Restore::Latest, ..local() }, job);
    refused("key groups", Local { max_parallelism: Some(1), ..Local::seeded(2, 1) }, job);
    refused("at least one core", Local { cores: Cores::Count(0), ..local() }, job);
    refused("no core 1000000", Local { cores: Cores::List(vec![1_000_000]), ..local() }, job);
}

#[test]
fn windows_and_timers_that_outgrow_the_memory_of_state_end_the_job() {
    for local in ways() {
        let error = within(60, "it ends", || {
            let job = Job::new("sessions");
            job.source(endless())
                .event_time(|number: &u64| Timestamp(*number as i64), Watermarks::monotonous())
                .key_by(|number| *number)
                .window(Session::with_gap(1.days()))
                .aggregate(count())
                .sink(collect());
            job.run(Local { state_memory: Some(4 << 20), ..local }).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("raise --state-memory"), "{error}");
    }
}

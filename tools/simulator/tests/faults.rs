//! The simulator finds bugs: every deliberate fault of the engine within a thousand seeds.
//!
//! Method: a fault is a switch of the whole process, so each gets a process of its own: the
//! simulator itself, which must fail. Two run at a time.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_tailwater-simulator");
/// A fault that takes more seeds is as good as not found.
const SEEDS: &str = "0..1000";
/// Processes at a time, of one thread each.
const PROCESSES: usize = 2;
/// What is asked of the simulator: a list of deliberate bugs that is worth its name.
const FAULTS_MIN: usize = 10;

#[test]
fn every_fault_is_found() {
    let listed = Command::new(SIMULATOR).arg("--list-faults").output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let faults: Vec<&str> =
        text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(faults.len() >= FAULTS_MIN, "{faults:?}");
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Relaxed)) {
                    let mut simulator = Command::new(SIMULATOR);
                    simulator.args(["--seeds", SEEDS, "--threads", "1", "--fault", fault]);
                    let output = simulator.output().unwrap();
                    if output.status.code() != Some(1) {
                        let told = String::from_utf8_lossy(&output.stdout).into_owned();
                        missed.lock().unwrap().push(format!("{fault}: {told}"));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found in seeds {SEEDS}: {missed:#?}");
}

#[test]
fn without_a_fault_there_is_nothing_to_find() {
    let output = Command::new(SIMULATOR).args(["--seeds", "0..50"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

//! A watchdog: a test that hangs ends the test program with a message instead.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Runs `body`; when it takes longer than `secs` seconds, says so and aborts the test program,
/// because a thread that hangs cannot be ended in any other way.
pub fn within<R>(secs: u64, what: &str, body: impl FnOnce() -> R) -> R {
    let (ended, is_ended) = channel::<()>();
    let what = what.to_owned();
    let dog = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        if is_ended.recv_timeout(Duration::from_secs(secs)) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`, which the test harness would keep until the test has ended.
            let _ = writeln!(std::io::stderr(), "{what}: not done within {secs} s");
            std::process::abort();
        }
    });
    let dog = dog.expect("a thread for the watchdog");
    let result = body();
    drop(ended);
    dog.join().expect("the watchdog has nothing to panic about");
    result
}

/// Waits for a moment without keeping the job that is waited for from running.
#[allow(dead_code)] // Each test program uses what it needs.
pub fn pause() {
    std::thread::park_timeout(Duration::from_micros(200));
}

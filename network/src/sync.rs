//! The one place that atomics and threads come from: the standard library's, or loom's under `cfg(loom)`.

#[cfg(loom)]
pub(crate) use loom::{
    sync::atomic::{AtomicBool, Ordering, fence},
    thread::Thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, Ordering, fence},
    thread::Thread,
};

/// The thread that calls.
pub(crate) fn current_thread() -> Thread {
    #[cfg(loom)]
    return loom::thread::current();
    #[cfg(not(loom))]
    std::thread::current()
}

/// Blocks until unparked, or (not under loom, which has no time) until `timeout` is over.
pub(crate) fn park_timeout(timeout: std::time::Duration) {
    #[cfg(loom)]
    {
        let _ = timeout;
        loom::thread::park();
    }
    #[cfg(not(loom))]
    std::thread::park_timeout(timeout);
}

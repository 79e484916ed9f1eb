//! Threads for calls that block, as futures: a client that knows no `async` can be asked by a core
//! that must not wait.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use tailwater_core::{Error, Result};

/// A few named threads that do what blocks, one call each at a time. Clones share them; they are
/// joined when the last clone is dropped, behind the calls that they are in.
///
/// What waits for a thread is bounded by who asks: an asynchronous operator has no more calls under
/// way than its capacity.
///
/// ```
/// use tailwater_connectors::Pool;
///
/// # fn main() -> tailwater_core::Result<()> {
/// let pool = Pool::new("rates", 2)?;
/// let answer = pool.run(|| 6 * 7);
/// # let _ = answer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Threads>);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.0.handles.len()).finish_non_exhaustive()
    }
}

type Work = Box<dyn FnOnce() + Send>;

struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    ring: Condvar,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No work is done while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        loop {
            let mut waiting = self.lock();
            let work = loop {
                if waiting.is_over {
                    return;
                }
                match waiting.work.pop_front() {
                    Some(work) => break work,
                    None => {
                        waiting = self.ring.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(waiting);
            work();
        }
    }
}

impl Pool {
    /// So many threads, called `NAME-0`, `NAME-1` and so on.
    ///
    /// # Errors
    /// When there are to be none, or the machine refuses one.
    pub fn new(name: &str, threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::configuration(format!("the pool `{name}` needs a thread at least")));
        }
        let mut pool = Threads { shared: Arc::default(), handles: Vec::new() };
        for index in 0..threads {
            let (name, shared) = (format!("{name}-{index}"), pool.shared.clone());
            let handle = std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || shared.serve())
                .map_err(|cause| Error::io(format!("cannot start the thread `{name}`"), cause))?;
            pool.handles.push(handle);
        }
        Ok(Self(Arc::new(pool)))
    }

    /// Does `work` on one of the threads, in the order of asking; what it returns, or its panic, is
    /// the future's.
    pub fn run<R, W>(&self, work: W) -> PoolCall<R>
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        let call = PoolCall(slot.clone());
        let work = move || {
            // Whoever awaits it never sees what a panic left half done: it panics too.
            let outcome = catch_unwind(AssertUnwindSafe(work));
            let before = std::mem::replace(&mut *lock(&slot), Slot::Done(Some(outcome)));
            if let Slot::Waiting(Some(waker)) = before {
                waker.wake();
            }
        };
        self.0.shared.lock().work.push_back(Box::new(work));
        self.0.shared.ring.notify_one();
        call
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.ring.notify_all();
        for handle in self.handles.drain(..) {
            // Work that panics hands its panic on.
            let _ = handle.join();
        }
    }
}

/// Work of a [`Pool`] that is waited for.
pub struct PoolCall<R>(Arc<Mutex<Slot<R>>>);

enum Slot<R> {
    Waiting(Option<Waker>),
    Done(Option<std::result::Result<R, Box<dyn Any + Send>>>),
}

fn lock<R>(slot: &Mutex<Slot<R>>) -> MutexGuard<'_, Slot<R>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R> fmt::Debug for PoolCall<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolCall")
    }
}

impl<R> Future for PoolCall<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        match &mut *lock(&self.0) {
            Slot::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Slot::Done(outcome) => {
                match outcome.take().expect("a future is not polled when it is over") {
                    Ok(value) => Poll::Ready(value),
                    Err(panic) => resume_unwind(panic),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::task::Wake;

    use super::*;

    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait<R>(mut call: PoolCall<R>) -> R {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            match Pin::new(&mut call).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    #[test]
    fn work_is_done_on_named_threads() {
        let pool = Pool::new("look", 2).unwrap();
        let name = wait(pool.run(|| std::thread::current().name().map(str::to_owned)));
        assert!(["look-0", "look-1"].contains(&name.unwrap().as_str()));
        assert_eq!(
            Pool::new("none", 0).unwrap_err().kind(),
            tailwater_core::ErrorKind::Configuration
        );
    }

    #[test]
    fn a_panic_is_the_callers_and_the_thread_goes_on() {
        let pool = Pool::new("look", 1).unwrap();
        let panicking = pool.run(|| panic!("no"));
        let caught = catch_unwind(AssertUnwindSafe(|| wait::<()>(panicking))).unwrap_err();
        assert_eq!(caught.downcast_ref::<&str>(), Some(&"no"));
        assert_eq!(wait(pool.run(|| 7)), 7);
    }

    #[test]
    fn threads_are_joined_with_the_last_clone() {
        let pool = Pool::new("look", 1).unwrap();
        let (began, has_begun) = channel();
        let (done, is_done) = channel();
        let clone = pool.clone();
        let call = clone.run(move || {
            began.send(()).unwrap();
            done.send(()).unwrap();
        });
        drop((clone, call));
        has_begun.recv().unwrap();
        drop(pool);
        // The thread is gone, and so it has ended the work that it was in.
        assert_eq!(is_done.try_recv(), Ok(()));
    }
}

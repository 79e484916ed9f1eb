//! The thread that prepares memory for large tables of state, and gives it back.
//!
//! Touching a gigabyte for the first time, or unmapping it, takes up to a second: no data core may
//! wait for that.

use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::thread::{Builder, JoinHandle};

use tailwater_core::{Error, Result};
use tailwater_state::{Chore, Prefault};

/// Runs until dropped; what it was given until then is done.
#[derive(Debug)]
pub struct PrefaultThread {
    chores: Sender<Option<Chore>>,
    thread: Option<JoinHandle<()>>,
}

impl PrefaultThread {
    /// Starts the thread; one is enough for a process.
    ///
    /// # Errors
    /// When the machine refuses another thread.
    pub fn start() -> Result<Self> {
        let (chores, receiver) = channel();
        let thread = Builder::new()
            .name("tailwater-memory".to_owned())
            .spawn(move || work(&receiver))
            .map_err(|cause| Error::io("cannot start the thread that prepares memory", cause))?;
        Ok(Self { chores, thread: Some(thread) })
    }

    /// What tables take to hand their chores to this thread. They are done in line once the thread
    /// is gone.
    pub fn hook(&self) -> Prefault {
        let chores = self.chores.clone();
        Prefault::with(move |chore| {
            if let Err(SendError(Some(chore))) = chores.send(Some(chore)) {
                chore();
            }
        })
    }
}

fn work(chores: &Receiver<Option<Chore>>) {
    while let Ok(Some(chore)) = chores.recv() {
        chore();
    }
    // Those that came while the last ones were done.
    chores.try_iter().flatten().for_each(|chore| chore());
}

impl Drop for PrefaultThread {
    fn drop(&mut self) {
        let _ = self.chores.send(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use tailwater_core::{KeyGroups, stable_hash};
    use tailwater_state::{Budget, StateContext, StateTable};

    use super::*;

    #[test]
    fn tables_grow_with_memory_from_the_thread_and_after_its_end() {
        let thread = PrefaultThread::start().unwrap();
        let context = StateContext::new(KeyGroups::default_for(1), Budget::unlimited())
            .with_prefault(thread.hook());
        let mut table = StateTable::<u64, [u64; 4]>::new(&context);
        let mut insert = |keys: std::ops::Range<u64>| {
            for key in keys {
                table.get_or_insert_with(stable_hash(&key), key, || [key; 4]);
            }
            table.len()
        };
        assert_eq!(insert(0..200_000), 200_000);
        drop(thread);
        assert_eq!(insert(0..400_000), 400_000);
        for key in 0..400_000 {
            assert_eq!(table.get(stable_hash(&key), &key), Some(&[key; 4]));
        }
        drop(table);
        assert_eq!(context.budget.used(), 0);
    }
}

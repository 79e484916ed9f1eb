//! Calls under way: futures that are polled when they have been woken, and what they wait for
//! otherwise.
//!
//! ```text
//! started -> running -- answered --> over
//!              ^  |  '- time is up -> over
//!              |  '---- failed -----> resting
//!              '------- due -------------'
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake};

use tailwater_core::{Span, Timestamp};

use crate::Waker;
use crate::blame::blame;

/// The calls of one operator on one core.
pub(super) struct Calls<F> {
    slots: Vec<Slot<F>>,
    free: Vec<usize>,
    /// Slots that have been woken, each at most once.
    woken: Receiver<usize>,
    bell: Sender<usize>,
    core: Waker,
    /// Those that are polled in this round. One that wakes itself has its turn in the next.
    turn: Vec<usize>,
    wall: Option<Timestamp>,
    now: Timestamp,
    /// Nothing is due before. May be too early.
    due: Timestamp,
}

struct Slot<F> {
    signal: Arc<Signal>,
    call: Option<Call<F>>,
}

struct Call<F> {
    owner: u64,
    at: Timestamp,
    attempts: u32,
    ends: Timestamp,
    state: State<F>,
}

enum State<F> {
    Running(Pin<Box<F>>),
    Resting { until: Timestamp },
}

/// What a future holds to say that it can go on; may be used from any thread, and too often.
struct Signal {
    slot: usize,
    is_set: AtomicBool,
    bell: Sender<usize>,
    core: Waker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Pairs with the swap in `Calls::poll`: either that one reads this `true`, and its poll
        // sees what was done before the wake, or the slot is put into the channel once more.
        if !self.is_set.swap(true, Ordering::AcqRel) {
            // There is nobody to tell when the operator is gone.
            let _ = self.bell.send(self.slot);
            self.core.wake();
        }
    }
}

/// What is due for a call.
pub(super) enum Due {
    /// Its time is up.
    End,
    /// It has rested, and is to be made again.
    Repeat,
}

impl<F: Future> Calls<F> {
    /// None, on a core that `core` wakes.
    pub fn new(core: Waker) -> Self {
        let (bell, woken) = channel();
        let (slots, free, turn) = (Vec::new(), Vec::new(), Vec::new());
        let (wall, now, due) = (None, Timestamp(0), Timestamp::MAX);
        Self { slots, free, woken, bell, core, turn, wall, now, due }
    }

    /// The time that has passed so far.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The wall clock shows `wall`. Where it was set back no time has passed.
    pub fn set_wall(&mut self, wall: Timestamp) {
        let before = self.wall.replace(wall).unwrap_or(wall);
        self.now = self.now + (wall - before).max(Span::ZERO);
    }

    /// Makes a call for the input at `at`; its slot. It is to be polled at once.
    pub fn start(&mut self, owner: u64, at: Timestamp, timeout: Option<Span>, call: F) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            let (slot, is_set) = (self.slots.len(), AtomicBool::new(false));
            let (bell, core) = (self.bell.clone(), self.core.clone());
            self.slots
                .push(Slot { signal: Arc::new(Signal { slot, is_set, bell, core }), call: None });
            slot
        });
        let ends = timeout.map_or(Timestamp::MAX, |timeout| self.now + timeout);
        self.due = self.due.min(ends);
        let state = State::Running(Box::pin(call));
        self.slots[slot].call = Some(Call { owner, at, attempts: 1, ends, state });
        slot
    }

    /// Makes the call again that has rested.
    pub fn repeat(&mut self, slot: usize, again: F) {
        let call = self.call(slot);
        call.attempts += 1;
        call.state = State::Running(Box::pin(again));
    }

    /// The call is to be made again after `delay`.
    pub fn rest(&mut self, slot: usize, delay: Span) {
        let until = self.now + delay;
        self.call(slot).state = State::Resting { until };
        self.due = self.due.min(until);
    }

    /// The call is over; a future that still runs is dropped.
    pub fn end(&mut self, slot: usize) {
        self.slots[slot].call = None;
        self.free.push(slot);
    }

    /// Whose call it is, and how often it was made.
    pub fn owner(&mut self, slot: usize) -> (u64, u32) {
        let call = self.call(slot);
        (call.owner, call.attempts)
    }

    fn call(&mut self, slot: usize) -> &mut Call<F> {
        self.slots[slot].call.as_mut().expect("whoever asks knows that there is a call")
    }

    /// Polls a call; what it answered, if it did. That its slot has no running call is no error:
    /// futures may wake when they are over.
    pub fn poll(&mut self, slot: usize, name: &str) -> Option<F::Output> {
        let Slot { signal, call } = &mut self.slots[slot];
        // Pairs with the swap in `Signal::wake_by_ref`.
        signal.is_set.swap(false, Ordering::AcqRel);
        let Some(Call { at, state: State::Running(future), .. }) = call else { return None };
        let waker = std::task::Waker::from(signal.clone());
        let mut context = Context::from_waker(&waker);
        match blame(name, *at, || future.as_mut().poll(&mut context)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// The slots that were woken by now, to be given back.
    pub fn take_turn(&mut self) -> Vec<usize> {
        self.turn.extend(self.woken.try_iter());
        std::mem::take(&mut self.turn)
    }

    /// Keeps the memory.
    pub fn give_back(&mut self, mut turn: Vec<usize>) {
        turn.clear();
        self.turn = turn;
    }

    /// A call whose time is up, or that has rested; `None` when there is none any more.
    pub fn next_due(&mut self) -> Option<(usize, Due)> {
        if self.now < self.due {
            return None;
        }
        self.due = Timestamp::MAX;
        for (slot, Slot { call, .. }) in self.slots.iter().enumerate() {
            let Some(call) = call else { continue };
            if call.ends <= self.now {
                self.due = self.now;
                return Some((slot, Due::End));
            }
            self.due = self.due.min(call.ends);
            if let State::Resting { until } = call.state {
                if until <= self.now {
                    self.due = self.now;
                    return Some((slot, Due::Repeat));
                }
                self.due = self.due.min(until);
            }
        }
        None
    }
}

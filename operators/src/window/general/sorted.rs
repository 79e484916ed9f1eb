//! Sessions in batch mode: as the records of a key come in order of time, each key has one session
//! open, and the first record behind its end fires it. No table and no timers are needed.
//!
//! For sessions with the default trigger only. All other windows fire when their key ends.

use tailwater_core::{Error, Key, Record, Stamped, Timestamp};

use super::contents::Firing;
use super::firing::{cover, enter, touch};
use super::records::without_time;
use super::{Assigner, Contents, Evictor, GeneralWindows, Trigger};
use crate::Collect;
use crate::blame::blame;
use crate::window::{Fired, Window};

/// A session that grows.
#[derive(Debug)]
pub(super) struct Growing<K, C> {
    key: K,
    window: Window,
    kept: Option<C>,
}

impl<K, T, F, A, R, E, C> GeneralWindows<K, T, F, A, R, E, C>
where
    K: Key,
    T: Record,
    F: FnMut(&T) -> K + Send + 'static,
    A: Assigner<T>,
    R: Trigger<T>,
    E: Evictor<T>,
    C: Contents<K, T, E>,
{
    /// Whether a window is over when a record of its key comes that lies behind it.
    pub(super) const FIRES_IN_ORDER: bool =
        A::MERGES && A::STARTS_AT_RECORD && R::FIRES_AT_END_ALONE;

    /// Takes records of one key in, by time, and fires the sessions that they leave behind.
    pub(super) fn take_in_order(
        &mut self,
        batch: &mut Vec<Stamped<T>>,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let mut assigned = std::mem::take(&mut self.group.windows);
        for Stamped { at, value } in batch.drain(..) {
            if !at.is_some() {
                out.fail(without_time(&self.name));
                break;
            }
            let Self { name, key_of, assigner, contents, growing, .. } = self;
            let (key, outcome) =
                blame(name, at, || (key_of(&value), assigner.assign(at, &value, &mut assigned)));
            if let Err(error) = outcome {
                out.fail(Error::user(name, at, error));
                break;
            }
            let Some(window) = assigned.pop() else { continue };
            // Of two keys only where they have one hash.
            let found = growing.iter().position(|session| session.key == key);
            if let Some(session) = found.map(|index| &mut growing[index])
                && touch(session.window, window)
            {
                session.window = cover(session.window, window);
                blame(name, at, || contents.add(&mut session.kept, at, &value));
                continue;
            }
            let mut kept = None;
            blame(name, at, || contents.add(&mut kept, at, &value));
            let next = Growing { key, window, kept };
            match found {
                Some(index) => {
                    let over = std::mem::replace(&mut growing[index], next);
                    self.fire_grown(over, out);
                }
                None => growing.push(next),
            }
        }
        batch.clear();
        self.group.windows = assigned;
    }

    /// The key has ended, and with it its last session.
    pub(super) fn fire_all_grown(&mut self, out: &mut impl Collect<Fired<C::Output, T>>) {
        while let Some(session) = self.growing.pop() {
            self.fire_grown(session, out);
        }
    }

    /// Fires and cleans up a session that is over; in its firing the watermark is that of the end
    /// (SEMANTICS 89).
    fn fire_grown(
        &mut self,
        session: Growing<K, C::Kept>,
        out: &mut impl Collect<Fired<C::Output, T>>,
    ) {
        let Growing { key, window, mut kept } = session;
        let Self { name, trigger, evictor, contents, clock, results, .. } = self;
        let key_state = self.key_state.as_mut().expect("an operator is opened first");
        let (clock, watermark) = (*clock, Timestamp::MAX);
        enter(key_state, &key, clock, watermark);
        let last = window.last();
        blame(name, last, || {
            if kept.is_some() {
                let window_state = &mut C::WindowState::default();
                let key = &key;
                let firing = Firing { key, window, watermark, clock, window_state, key_state };
                contents.fire(&mut kept, firing, evictor, results);
            }
            trigger.clear(R::State::default(), window);
            contents.clear(window, C::WindowState::default(), key_state);
        });
        results.drain(..).for_each(|result| out.record(last, Fired::Result(result)));
    }
}

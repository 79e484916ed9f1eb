//! Functions of the user's over what a window holds, with states of the window and of its key.

use tailwater_core::{Record, Timestamp};
use tailwater_state::keyed::KeyedState;

use crate::window::Window;

/// What becomes of a window when it fires. Each core has a clone of its own, which sees many
/// windows: what is to be remembered belongs into the states, not into fields.
pub trait WindowProcess: Clone + Send + 'static {
    /// What is shown of the window: the aggregate's result, or all records as
    /// [`[Stamped<T>]`](tailwater_core::Stamped).
    type In: ?Sized;
    /// What is remembered of a window from one firing to the next, until it is cleaned up; a purge
    /// leaves it (SEMANTICS 30). Windows that merge have none: leave it `()`.
    type WindowState: Record + Default;
    /// What is remembered of each key, over all its windows: `#[keyed_state]` makes it, `NoState`
    /// is none.
    type State: KeyedState;
    /// What goes out.
    type Out;

    /// The window of the current key fires.
    fn on_fire(
        &mut self,
        shown: &Self::In,
        window_state: &mut Self::WindowState,
        state: &mut Self::State,
        context: &mut WindowContext<Self::Out>,
    );

    /// The window of the current key is cleaned up, after its last firing.
    fn on_clear(
        &mut self,
        window: Window,
        window_state: Self::WindowState,
        state: &mut Self::State,
    ) {
        let _ = (window, window_state, state);
    }
}

/// What a window function is told about the firing, and where its results go.
#[derive(Debug)]
pub struct WindowContext<Out> {
    pub(super) window: Window,
    pub(super) watermark: Timestamp,
    pub(super) clock: Timestamp,
    pub(super) output: Vec<Out>,
}

impl<Out> Default for WindowContext<Out> {
    fn default() -> Self {
        Self {
            window: Window::GLOBAL,
            watermark: Timestamp::MIN,
            clock: Timestamp::MIN,
            output: Vec::new(),
        }
    }
}

impl<Out> WindowContext<Out> {
    /// The window.
    #[inline]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The watermark.
    #[inline]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The wall clock, as of this round of the core.
    #[inline]
    pub fn processing_time(&self) -> Timestamp {
        self.clock
    }

    /// Emits a record at the last instant of the window.
    #[inline]
    pub fn emit(&mut self, value: Out) {
        self.output.push(value);
    }
}

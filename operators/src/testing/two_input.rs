//! The harness for operators with two inputs: each has a watermark of its own, and the operator
//! sees the lesser.

use std::ops::{Deref, DerefMut};

use tailwater_core::{Either, Result, Timestamp};

use super::Harness;
use crate::Operator;

/// One input as the task sees it.
#[derive(Clone, Copy, Debug)]
struct Input {
    watermark: Timestamp,
    is_idle: bool,
}

/// A [`Harness`] for an operator whose records are those of two streams, as joins and connected
/// streams have them.
///
/// ```
/// use tailwater_core::{Stamped, Timestamp};
/// use tailwater_operators::join::{AsOf, AsOfJoin};
/// use tailwater_operators::testing::TwoInputHarness;
///
/// let join = AsOfJoin::new(|_: &i64| 0_u8, |_: &i64| 0_u8, AsOf::backward());
/// let mut harness = TwoInputHarness::new(join)?;
/// harness.second(Timestamp(3), 100);
/// harness.first(Timestamp(5), 7);
/// harness.first_watermark(Timestamp(9));
/// assert!(harness.take_results().is_empty(), "a later quote may still come");
/// harness.second_watermark(Timestamp(5));
/// let matched = harness.take_results().remove(0);
/// assert_eq!((matched.left, matched.right), (7, Some(Stamped::new(Timestamp(3), 100))));
/// # Ok::<(), tailwater_core::Error>(())
/// ```
pub struct TwoInputHarness<O: Operator> {
    harness: Harness<O>,
    inputs: [Input; 2],
    sent: Timestamp,
}

impl<A, B, O: Operator<In = Either<A, B>>> TwoInputHarness<O> {
    /// Opens the operator on a core of its own.
    ///
    /// # Errors
    /// When the operator cannot run as configured.
    pub fn new(operator: O) -> Result<Self> {
        let silent = Input { watermark: Timestamp::MIN, is_idle: false };
        let harness = Harness::new(operator)?;
        Ok(Self { harness, inputs: [silent; 2], sent: Timestamp::MIN })
    }

    /// Pushes a record of the first input, which is active from now on.
    pub fn first(&mut self, at: Timestamp, value: A) {
        self.inputs[0].is_idle = false;
        self.harness.record(at, Either::First(value));
    }

    /// Pushes a record of the second input, which is active from now on.
    pub fn second(&mut self, at: Timestamp, value: B) {
        self.inputs[1].is_idle = false;
        self.harness.record(at, Either::Second(value));
    }

    /// Raises the watermark of the first input. The operator is told the lesser of both
    /// (SEMANTICS 12).
    pub fn first_watermark(&mut self, watermark: Timestamp) {
        self.raise(0, watermark);
    }

    /// Raises the watermark of the second input.
    pub fn second_watermark(&mut self, watermark: Timestamp) {
        self.raise(1, watermark);
    }

    /// The first input will be silent for a while: it does not hold back the watermark
    /// (SEMANTICS 13).
    pub fn first_idle(&mut self) {
        self.inputs[0].is_idle = true;
        self.tell();
    }

    /// The second input will be silent for a while.
    pub fn second_idle(&mut self) {
        self.inputs[1].is_idle = true;
        self.tell();
    }

    fn raise(&mut self, input: usize, watermark: Timestamp) {
        let input = &mut self.inputs[input];
        (input.is_idle, input.watermark) = (false, input.watermark.max(watermark));
        self.tell();
    }

    /// Hands on the least watermark of the active inputs, or the greatest where none is active
    /// (SEMANTICS 15).
    fn tell(&mut self) {
        let active = self.inputs.iter().filter(|input| !input.is_idle);
        let all = self.inputs.iter().map(|input| input.watermark);
        let least = active.map(|input| input.watermark).min().or(all.max());
        if let Some(watermark) = least.filter(|least| *least > self.sent) {
            self.sent = watermark;
            self.harness.watermark(watermark);
        }
    }
}

impl<O: Operator> Deref for TwoInputHarness<O> {
    type Target = Harness<O>;

    fn deref(&self) -> &Harness<O> {
        &self.harness
    }
}

impl<O: Operator> DerefMut for TwoInputHarness<O> {
    fn deref_mut(&mut self) -> &mut Harness<O> {
        &mut self.harness
    }
}

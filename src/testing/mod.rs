//! Tests of jobs and operators by hand, in virtual time: what goes in, how far time has come, when
//! a checkpoint is taken and on how many cores the job goes on are the test's to say.
//!
//! | to drive | with |
//! |---|---|
//! | one operator | [`Harness`] |
//! | one with two inputs | [`TwoInputHarness`] |
//! | a keyed one on several cores | [`KeyedHarness`] |
//! | a whole job | [`JobHarness`], with [`TestSource`] and [`TestSink`] at its ends |
//!
//! [`check_operator`] and [`check_rescaling`] find results that hang on chance.

mod job;
mod sink;
mod source;

pub use job::JobHarness;
pub use sink::TestSink;
pub use source::{TestSource, TestSplit};
pub use tailwater_operators::testing::*;

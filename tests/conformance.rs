//! The scripts with Apache Flink's output, of this repository and of `TAILWATER_CONFORMANCE`.
//!
//! Method: that of the operators' own test, which is this very file; it prints each script that
//! differs with both outputs.

#[path = "../operators/tests/conformance.rs"]
mod scripts;

//! How elements travel between cores: rings inside a process, and who owns which key.
//!
//! Nothing here knows what a record means, what state is, or which operator sends it.
#![deny(unsafe_code)]

pub mod channel;
pub mod mesh;
pub mod park;
pub mod ring;
pub mod route;
pub mod scatter;
mod sync;

pub use channel::{Polled, Receiver, Sender, channel};
pub use mesh::{Ends, mesh, mesh_of};
pub use park::Parker;
pub use route::Route;
pub use scatter::scatter;

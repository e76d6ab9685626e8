//! The REST API, the metrics and the pages of `lifeboat serve`.
//!
//! Takes a node and its catalog and answers over HTTPS: who may ask what stands in one table,
//! every change is written into the audit log.
//! Does not decide what is due, and does not carry anything out: it asks the node.
//!
//! Source: DESIGN, row 5.

mod door;
mod pages;
mod state;
mod visitor;

pub use door::Door;
pub use state::{State, StateParts};

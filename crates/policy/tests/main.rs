//! Promises of the crate, one module each.

mod decisions_are_restics;
mod nothing_is_lost_by_mistake;
mod restic;

//! What the tooling promises about the tree it lies in, and about what it writes.

mod measurements_become_a_report;
mod tidy;

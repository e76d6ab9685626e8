//! What the tooling promises about the tree it lies in.

mod tidy;

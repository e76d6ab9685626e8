//! The binary as a user runs it, one module each promise.

mod files;

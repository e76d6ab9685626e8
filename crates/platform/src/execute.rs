//! Commands inside a machine.

use std::time::Duration;

/// A command to run inside a machine: words, never a line for a shell.
#[derive(Clone, Debug)]
pub struct GuestCommand {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// What is added to its environment.
    pub environment: Vec<(String, String)>,
    /// It is given up after this time.
    pub limit: Duration,
    /// At most this many bytes of each output are kept, from the end.
    pub output_bytes_max: usize,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code; nothing for one that a signal ended.
    pub code: Option<i32>,
    /// The end of what it wrote.
    pub output: Vec<u8>,
    /// The end of what it complained.
    pub errors: Vec<u8>,
}

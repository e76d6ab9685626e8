//! Commands inside a restored system.

use std::time::Duration;

use crate::wire::Request;

/// A command: words, never a line for a shell.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program, looked for in `PATH` of `environment`, and its arguments.
    pub words: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// It is killed after this time.
    pub limit: Duration,
    /// At most this many bytes of its output are kept, from the end.
    pub output_bytes_max: usize,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code, or 128 and the number of the signal that ended it; 127 if there is no such
    /// program.
    pub code: u32,
    /// It was killed because its time was over.
    pub is_timed_out: bool,
    /// The end of what it wrote, errors included.
    pub output: Vec<u8>,
    /// The beginning of its output was dropped.
    pub is_clipped: bool,
}

impl Command {
    pub(super) fn request(&self) -> Request {
        let variables = self.environment.iter();
        Request::Run {
            words: self.words.iter().map(|word| word.clone().into()).collect(),
            environment: variables
                .map(|(name, value)| format!("{name}={value}").into())
                .collect(),
            seconds_max: u32::try_from(self.limit.as_secs()).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn shown(&self) -> String {
        self.words.join(" ")
    }
}

/// The end of an output.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_clipped: bool,
}

impl Output {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max,
            is_clipped: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        // Seldom, so that long outputs are not moved at every piece.
        if self.bytes.len() >= self.bytes_max.saturating_mul(2) {
            self.clip();
        }
    }

    pub(super) fn finish(mut self, code: u32, is_timed_out: bool) -> Ran {
        self.clip();
        Ran {
            code,
            is_timed_out,
            output: self.bytes,
            is_clipped: self.is_clipped,
        }
    }

    fn clip(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.bytes_max);
        self.is_clipped |= surplus > 0;
        self.bytes.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_kept() {
        let mut output = Output::new(4);
        for piece in ["ab", "cd", "ef", "g"] {
            output.push(piece.as_bytes());
        }
        let ran = output.finish(0, false);
        assert_eq!((&ran.output[..], ran.is_clipped), (&b"defg"[..], true));
        let mut short = Output::new(4);
        short.push(b"abcd");
        assert!(!short.finish(0, false).is_clipped);
    }
}

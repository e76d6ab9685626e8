//! A pty with a program in it, between two looks at the terminal's modes.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A program at a terminal of 80 columns and 24 rows.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    folder: PathBuf,
    pub(crate) seen: String,
}

impl Terminal {
    /// Starts what a line for the shell says; `command` runs a program called `script` in a
    /// folder, which may be written.
    pub(crate) fn start(mut command: Command, folder: &Path, line: &str) -> Self {
        // A signal of the terminal reaches the shell too, which has to look afterwards.
        let words = format!(
            "trap : INT; stty rows 24 cols 80; stty -g > before; {line}; echo $? > code; \
             stty -g > after"
        );
        command.args(["-q", "-e", "-c", &words, "/dev/null"]);
        command.current_dir(folder);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        let screen = child.stdout.take().unwrap();
        Self {
            child,
            keys,
            screen,
            folder: folder.to_owned(),
            seen: String::new(),
        }
    }

    /// Reads until something is drawn that was not before.
    pub(crate) fn waits_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut bytes = [0; 4096];
            let count = self.screen.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "waiting for {text}: {}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Presses keys; what was drawn before does not count any more.
    pub(crate) fn press(&mut self, keys: &str) {
        self.seen.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads to the end, which must be a good one, with the terminal as it was; gives what was
    /// drawn since the last key.
    pub(crate) fn ends(mut self) -> String {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap();
        assert_eq!(read("code"), "0\n", "{}", self.seen);
        assert_eq!(read("before"), read("after"));
        self.seen
    }
}

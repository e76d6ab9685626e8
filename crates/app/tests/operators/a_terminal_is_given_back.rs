//! `lifeboat top` draws, answers to keys, and leaves the terminal as it was.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use lifeboat_catalog::{LogLevel, Progress};

use super::site::{Site, begin, machine, point};
use crate::trial::lifeboat;

/// A pty with the program in it, between two looks at the terminal's modes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn start(site: &Site) -> Self {
        // A signal of the terminal reaches the shell too, which has to look afterwards.
        let words = format!(
            "trap : INT; stty rows 24 cols 80; stty -g > before; {} top; echo $? > code; \
             stty -g > after",
            lifeboat().display()
        );
        let mut command = site.command(Path::new("script"));
        command.args(["-q", "-e", "-c", &words, "/dev/null"]);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        let screen = child.stdout.take().unwrap();
        let seen = String::new();
        Self {
            child,
            keys,
            screen,
            seen,
        }
    }

    /// Reads until something is drawn that was not before.
    fn waits_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut bytes = [0; 4096];
            let count = self.screen.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "waiting for {text}: {}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Presses keys; what was drawn before does not count any more.
    fn press(&mut self, keys: &str) {
        self.seen.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn ends(mut self, site: &Site) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let read = |name: &str| std::fs::read_to_string(site.path(name)).unwrap();
        assert_eq!(read("code"), "0\n", "{}", self.seen);
        assert_eq!(read("before"), read("after"));
        for end in ["\x1b[?25h", "\x1b[?1049l"] {
            assert!(self.seen.contains(end), "{:?}", self.seen);
        }
    }
}

fn site() -> Site {
    let site = Site::new();
    let catalog = site.catalog();
    catalog.set_machines("here", &[machine("web01")]).unwrap();
    catalog.add_point(&point("web01", site.ago(1))).unwrap();
    site
}

#[test]
fn it_draws_shows_a_log_and_cancels_after_a_question() {
    let site = site();
    let catalog = site.catalog();
    let lease = begin(&catalog, "web01");
    let progress = Progress {
        phase: "reading".into(),
        done: 1,
        total: 2,
        rate: 1 << 20,
        seconds_left: Some(5),
    };
    catalog.report(&lease, &progress).unwrap();
    catalog
        .write_log(&lease, LogLevel::Note, "the first line")
        .unwrap();
    let mut terminal = Terminal::start(&site);
    terminal.waits_for("Yes: 1 machine can be recovered");
    terminal.waits_for("[##########..........]  50 %");
    terminal.waits_for("c cancel  q quit");
    terminal.press("\r");
    terminal.waits_for("Esc back");
    terminal.waits_for("\nthe first line");
    terminal.press("\x1b");
    terminal.waits_for("c cancel");
    terminal.press("c");
    terminal.waits_for("y stops it");
    terminal.press("n");
    terminal.waits_for("c cancel");
    assert_eq!(catalog.task(lease.task.id).unwrap().cancelled_by, None);
    terminal.press("c");
    terminal.waits_for("y stops it");
    terminal.press("y");
    terminal.waits_for("is asked to stop");
    assert!(catalog.task(lease.task.id).unwrap().cancelled_by.is_some());
    terminal.press("q");
    terminal.ends(&site);
}

#[test]
fn it_ends_in_order_when_it_is_interrupted() {
    let site = site();
    let mut terminal = Terminal::start(&site);
    terminal.waits_for("q quit");
    for line in terminal.seen.split("\r\n") {
        assert!(width(line) <= 80, "{line:?}");
    }
    terminal.press("\x03");
    terminal.ends(&site);
}

/// Characters that take room.
fn width(line: &str) -> usize {
    let plain = line
        .split('\x1b')
        .enumerate()
        .map(|(number, piece)| match number {
            0 => piece,
            _ => piece
                .split_once(|c: char| c.is_ascii_alphabetic())
                .map_or("", |it| it.1),
        });
    plain.map(|piece| piece.chars().count()).sum()
}

#[test]
fn without_a_terminal_it_names_the_command_to_use() {
    let site = site();
    let output = site.run(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("lifeboat status"), "{complaint}");
}

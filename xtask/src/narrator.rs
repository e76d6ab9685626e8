//! The voice of the long commands: says on the terminal what happens, and keeps a transcript.

use std::env;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// The column at which times end.
const WIDTH: usize = 92;
/// How many lines of a program's output are shown before the rest is left out.
const OUTPUT_LINES_MAX: usize = 12;

/// How long a line of a command may get before it is continued.
const COMMAND_COLUMNS_MAX: usize = 82;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[1;36m";
const GREEN: &str = "\x1b[32m";
const RESET: &str = "\x1b[0m";

/// Writes to the terminal, in colour where it has one, and into a transcript with colours.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    in_colour: bool,
    transcript: Option<File>,
    steps: usize,
}

impl Narrator {
    /// A voice for the terminal alone.
    pub(crate) fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none();
        Self {
            in_colour: wanted && std::io::stdout().is_terminal(),
            ..Self::default()
        }
    }

    /// Keeps a copy of everything said from now on.
    pub(crate) fn with_transcript(mut self, path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        self.transcript = Some(file);
        Ok(self)
    }

    /// The first line of all.
    pub(crate) fn title(&mut self, text: &str) {
        self.say(&format!("{BOLD}{text}{RESET}"));
    }

    /// A new numbered step.
    pub(crate) fn step(&mut self, text: &str) {
        self.steps += 1;
        self.say(&format!("\n{CYAN}{:>2}  {text}{RESET}", self.steps));
    }

    /// A command, before it runs; a long one goes on over several lines, as in a shell.
    pub(crate) fn command(&mut self, text: &str) {
        for (index, line) in wrapped(text).iter().enumerate() {
            let start = if index == 0 { "$ " } else { "    " };
            self.say(&format!("    {BOLD}{start}{line}{RESET}"));
        }
    }

    /// What a program answered; long answers are cut.
    pub(crate) fn output(&mut self, text: &str) {
        let lines: Vec<_> = text.trim_end().lines().collect();
        for line in lines.iter().take(OUTPUT_LINES_MAX) {
            self.say(&format!("    {DIM}│{RESET} {line}"));
        }
        if let Some(more @ 1..) = lines.len().checked_sub(OUTPUT_LINES_MAX) {
            self.say(&format!("    {DIM}│ ... and {more} more lines{RESET}"));
        }
    }

    /// Something that was done, and how long it took.
    pub(crate) fn done(&mut self, text: &str, elapsed: Duration) {
        let time = format!("{:.1} s", elapsed.as_secs_f64());
        let gap = WIDTH
            .saturating_sub(6 + text.chars().count() + time.len())
            .max(1);
        let spaces = " ".repeat(gap);
        self.say(&format!(
            "    {GREEN}✓{RESET} {text}{spaces}{DIM}{time}{RESET}"
        ));
    }

    /// A fact that was seen.
    pub(crate) fn fact(&mut self, text: &str) {
        self.say(&format!("    {GREEN}✓{RESET} {text}"));
    }

    /// Something to know, neither good nor bad.
    pub(crate) fn note(&mut self, text: &str) {
        self.say(&format!("    {DIM}{text}{RESET}"));
    }

    /// A line as it is.
    pub(crate) fn say(&mut self, line: &str) {
        if let Some(file) = &mut self.transcript {
            // A transcript that cannot be written is no reason to stop the work.
            let _ = writeln!(file, "{line}");
        }
        let shown = if self.in_colour {
            line.to_owned()
        } else {
            plain(line)
        };
        println!("{shown}");
    }
}

/// Cuts a command before options so that its lines fit.
fn wrapped(command: &str) -> Vec<String> {
    let mut lines = Vec::<String>::new();
    for (index, part) in command.split(" --").enumerate() {
        let part = if index == 0 {
            part.to_owned()
        } else {
            format!("--{part}")
        };
        match lines.last_mut() {
            Some(line) if line.chars().count() + part.chars().count() < COMMAND_COLUMNS_MAX => {
                *line = format!("{line} {part}");
            }
            Some(line) => {
                line.push_str(" \\");
                lines.push(part);
            }
            None => lines.push(part),
        }
    }
    lines
}

/// A line without its colour sequences.
pub(crate) fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        if letter == '\x1b' {
            rest.find(|end| end.is_ascii_alphabetic());
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_go_on_in_the_next_line() {
        assert_eq!(wrapped("lifeboat check"), ["lifeboat check"]);
        let lines = wrapped(&["tool", &"--key value ".repeat(9)].join(" "));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("value \\") && lines[1].starts_with("--key"));
    }

    #[test]
    fn plain_drops_colours_only() {
        assert_eq!(plain("a \x1b[1;36mb\x1b[0m ✓"), "a b ✓");
        assert_eq!(plain("[not a colour]"), "[not a colour]");
    }
}

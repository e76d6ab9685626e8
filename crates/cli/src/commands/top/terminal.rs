//! The terminal: taken over as a whole, and given back in order, also after a panic.

use std::io::{IsTerminal, Write};
use std::panic;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::screen::{Line, Size};
use crate::error::{Error, Result};

/// Another screen, without a cursor; then back to what was there.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// What terminals have been for fifty years.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Up,
    Down,
    Left,
    Right,
    Enter,
    Escape,
}

/// Whether there is one to read from, and to draw on where one wants.
pub(super) fn is_there() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|it| it.is_empty() || it == "dumb");
    !is_dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The terminal, taken over until this is dropped.
pub(super) struct Terminal {
    before: Termios,
    has_colors: bool,
}

impl Terminal {
    /// Takes it over; signals of keys stay.
    pub(super) fn enter() -> Result<Self> {
        let failed = |error: Errno| Error::from(std::io::Error::from(error));
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        let (at_panic, told) = (before.clone(), panic::take_hook());
        // What a panic says is to be read, on the screen that stays.
        panic::set_hook(Box::new(move |about| {
            give_back(&at_panic);
            told(about);
        }));
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        let colors = std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let terminal = Self {
            before,
            has_colors: colors,
        };
        write(ENTER)?;
        Ok(terminal)
    }

    /// Its size now.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(stdout()) {
            Ok(found) if found.ws_col > 0 && found.ws_row > 0 => Size {
                columns: found.ws_col.into(),
                rows: found.ws_row.into(),
            },
            _ => USUAL,
        }
    }

    /// Shows lines in place of those before.
    pub(super) fn draw(&self, lines: &[Line]) -> Result<()> {
        let mut text = "\x1b[H".to_owned();
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                text += "\r\n";
            }
            match line.style.filter(|_| self.has_colors) {
                Some(style) => text += &format!("\x1b[{style}m{}\x1b[0m", line.text),
                None => text += &line.text,
            }
            text += "\x1b[K";
        }
        write(&(text + "\x1b[J"))
    }

    /// The next key within `wait`.
    ///
    /// Errors: those of reading; the terminal is gone.
    pub(super) fn key(&self, wait: Duration) -> Result<Option<Key>> {
        if !is_ready(wait)? {
            return Ok(None);
        }
        let mut bytes = [0; 16];
        match rustix::io::read(stdin(), &mut bytes) {
            Ok(0) => Err(Error::usage("the terminal is gone")),
            Ok(count) => Ok(meaning(&bytes[..count])),
            Err(Errno::INTR) => Ok(None),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back(&self.before);
        drop(panic::take_hook());
    }
}

fn is_ready(wait: Duration) -> Result<bool> {
    let input = stdin();
    let mut fds = [PollFd::new(&input, PollFlags::IN)];
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: wait.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&wait)) {
        Ok(count) => Ok(count > 0),
        // A signal, or another size.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

/// What cannot be given back is gone.
fn give_back(before: &Termios) {
    let _ = tcsetattr(stdin(), OptionalActions::Now, before);
    let _ = write(LEAVE);
}

fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn meaning(bytes: &[u8]) -> Option<Key> {
    Some(match bytes {
        b"\x1b[A" | b"\x1bOA" => Key::Up,
        b"\x1b[B" | b"\x1bOB" => Key::Down,
        b"\x1b[C" | b"\x1bOC" => Key::Right,
        b"\x1b[D" | b"\x1bOD" => Key::Left,
        [b'\r' | b'\n', ..] => Key::Enter,
        [0x1b] | [0x7f | 0x08, ..] => Key::Escape,
        [letter, ..] if letter.is_ascii_graphic() => Key::Letter(char::from(*letter)),
        _ => return None,
    })
}

//! Commands of this program that answers of the API are made of.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use lifeboat_model::{CancelToken, ErrorKind};

use super::child::{Children, Failure, listen_for_failure, wait};
use crate::error::{EXIT_PARTIAL, EXIT_VERIFY, Error, Result};

/// Limit: characters of why a command failed.
const SAID_MAX: usize = 2_000;

/// Runs commands for answers of the API.
pub struct AnswerCommands {
    children: Children,
    folder: PathBuf,
}

impl AnswerCommands {
    /// Makes the folder for what is sent, empty.
    pub(crate) fn new(children: Children, state: &Path) -> Result<Self> {
        let folder = state.join("sent");
        let failed = |error: std::io::Error| {
            let text = format!("cannot make the folder {}: {error}", folder.display());
            Error::new(ErrorKind::of_io(&error), text)
        };
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(failed)?;
        Ok(Self { children, folder })
    }

    /// The folder for what is sent, which nobody else reads.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command to its end. `take` is given what it prints, piece by piece, and says whether
    /// somebody still reads; if nobody does, or `cancel` is set, it is stopped.
    ///
    /// Errors: why it failed, as it said itself; findings are no failure.
    pub fn run(
        &self,
        words: &[OsString],
        cancel: &CancelToken,
        take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
    ) -> std::result::Result<(), (ErrorKind, String)> {
        let io = |error: std::io::Error| {
            let typed = words.join(OsStr::new(" "));
            let text = format!("cannot run lifeboat {}: {error}", typed.display());
            (ErrorKind::of_io(&error), text)
        };
        let mut child = self.children.telling(words).spawn().map_err(io)?;
        let mut stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let failure = Mutex::new(Failure::default());
        let status = thread::scope(|scope| {
            scope.spawn(|| stderr.map(|stream| listen_for_failure(stream, &failure)));
            scope.spawn(|| {
                if !stdout.is_none_or(|stream| pass_on(stream, take)) {
                    cancel.cancel();
                }
            });
            wait(&mut child, cancel, &mut || {
                if cancel.is_cancelled() {
                    // Its end tells the child that nobody waits any more.
                    drop(stdin.take());
                }
            })
        });
        let failure = failure.into_inner().unwrap_or_else(|p| p.into_inner());
        let code = status.map_err(io)?.code();
        let is_finding = |code| {
            [0, EXIT_PARTIAL, EXIT_VERIFY]
                .map(i32::from)
                .contains(&code)
        };
        match code {
            Some(code) if is_finding(code) && !failure.is_said() => Ok(()),
            code => {
                let (kind, text) = failure.told(code);
                Err((kind, text.chars().take(SAID_MAX).collect()))
            }
        }
    }
}

/// Whether somebody read it to its end.
fn pass_on(mut stream: impl Read, take: &mut dyn FnMut(Vec<u8>) -> bool) -> bool {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return true,
            Ok(length) => {
                let piece = buffer.get(..length).unwrap_or_default().to_vec();
                if !take(piece) {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::running::Running;
    use super::*;

    /// Runs what a script plays; `take` is given what it prints.
    fn run(
        word: &str,
        cancel: &CancelToken,
        take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
    ) -> std::result::Result<(), (ErrorKind, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service");
        let commands = AnswerCommands {
            children: Children {
                program: folder.join("played.sh"),
                running: Running::new(&folder, Path::new("lifeboat.toml")),
                lock: None,
            },
            folder,
        };
        commands.run(&[OsString::from(word)], cancel, take)
    }

    #[test]
    fn what_is_printed_and_why_it_failed_are_told_apart() {
        let heard = |word: &str| {
            let mut printed = Vec::new();
            let ended = run(word, &CancelToken::new(), &mut |piece| {
                printed.extend(piece);
                true
            });
            (String::from_utf8(printed).unwrap(), ended)
        };
        let (printed, ended) = heard("differs");
        assert_eq!((printed.as_str(), ended), ("one\ntwo\n", Ok(())));
        let (printed, ended) = heard("locked");
        let why = (ErrorKind::Busy, "somebody holds it".to_owned());
        assert_eq!((printed.as_str(), ended), ("one\n", Err(why)));
        let (_, ended) = heard("wordy");
        let (kind, text) = ended.unwrap_err();
        assert_eq!((kind, text.len()), (ErrorKind::Corrupt, SAID_MAX));
    }

    #[test]
    fn a_command_that_nobody_reads_ends() {
        let cancel = CancelToken::new();
        let ended = run("endless", &cancel, &mut |_| false);
        assert!(ended.is_err() && cancel.is_cancelled(), "{ended:?}");
        let cancel = CancelToken::new();
        let stop = cancel.clone();
        let ended = run("silent", &cancel, &mut |_| {
            stop.cancel();
            true
        });
        let why = (ErrorKind::Cancelled, "nobody waits".to_owned());
        assert_eq!(ended, Err(why));
    }
}

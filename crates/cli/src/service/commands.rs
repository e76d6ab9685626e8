//! Commands of this program that answers of the API are made of.

use std::fs::{self, DirBuilder};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use lifeboat_model::{CancelToken, ErrorKind};

use super::child::{Children, Failure, listen_for_failure, wait};
use crate::error::{EXIT_PARTIAL, EXIT_VERIFY, Error, Result};

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
    /// somebody still reads; if nobody does, the command is stopped.
    ///
    /// Errors: why it failed, as it said itself; findings are no failure.
    pub fn run(
        &self,
        words: &[String],
        take: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> std::result::Result<(), (ErrorKind, String)> {
        let io = |error: std::io::Error| {
            let text = format!("cannot run lifeboat {}: {error}", words.join(" "));
            (ErrorKind::of_io(&error), text)
        };
        let mut child = self.children.telling(words).spawn().map_err(io)?;
        // Its end tells the child that nobody waits any more.
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let failure = Mutex::new(Failure::default());
        let cancel = CancelToken::new();
        let status = thread::scope(|scope| {
            scope.spawn(|| stderr.map(|stream| listen_for_failure(stream, &failure)));
            if !stdout.is_none_or(|stream| pass_on(stream, take)) {
                cancel.cancel();
            }
            wait(&mut child, &cancel, &mut || {})
        });
        drop(stdin);
        let failure = failure.into_inner().unwrap_or_else(|p| p.into_inner());
        let code = status.map_err(io)?.code();
        let is_finding = |code| {
            [0, EXIT_PARTIAL, EXIT_VERIFY]
                .map(i32::from)
                .contains(&code)
        };
        match code {
            Some(code) if is_finding(code) && !failure.is_said() => Ok(()),
            code => Err(failure.told(code)),
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

//! Remembers every system call that changed a directory, so that crashes between and inside
//! saves can be replayed: what a loss of power leaves is less than what the calls have done.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::calls::{Calls, SystemCalls};

/// A system call that succeeded, as a value; paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemCall {
    /// A directory was made.
    CreateDirectory {
        /// Its path.
        path: PathBuf,
    },
    /// An empty file was made.
    CreateFile {
        /// Its path.
        path: PathBuf,
        /// Tells files of one journal apart, whatever they are called later.
        file: u64,
    },
    /// Bytes were appended.
    Write {
        /// Which file.
        file: u64,
        /// What was appended.
        content: Arc<[u8]>,
    },
    /// A file's content reached the disk.
    SyncFile {
        /// Which file.
        file: u64,
    },
    /// A file got another name in its directory.
    Rename {
        /// Its path until then.
        source: PathBuf,
        /// Its path from then on.
        target: PathBuf,
    },
    /// The names in a directory reached the disk.
    SyncDirectory {
        /// The directory's path.
        path: PathBuf,
    },
    /// A file lost its name.
    Unlink {
        /// Its path until then.
        path: PathBuf,
    },
}

/// Logs the calls of one or several [`super::Local`], in the order in which they happened.
///
/// Cost: calls run one at a time, and every content is kept.
#[derive(Debug, Default)]
pub struct Journal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<SystemCall>,
    /// By the file system's own numbers, which it gives again after an unlink.
    files: HashMap<(u64, u64), u64>,
}

impl Journal {
    /// An empty journal.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// All calls so far, oldest first; contents are shared, not copied.
    pub fn calls(&self) -> Vec<SystemCall> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Makes a call and logs it when it has succeeded; no other call happens meanwhile.
    fn log<T>(
        &self,
        make: impl FnOnce() -> io::Result<T>,
        shown: impl FnOnce(&T) -> SystemCall,
    ) -> io::Result<T> {
        let mut state = self.state();
        let made = make()?;
        state.calls.push(shown(&made));
        Ok(made)
    }
}

impl State {
    /// The number of a file that was made in this journal.
    fn number(&self, file: &File) -> io::Result<Option<u64>> {
        let found = file.metadata()?;
        Ok(self.files.get(&(found.dev(), found.ino())).copied())
    }
}

impl Calls for Arc<Journal> {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut state = self.state();
        let made = SystemCalls.create_new(path, mode)?;
        let found = made.metadata()?;
        let file = state.calls.len() as u64;
        state.files.insert((found.dev(), found.ino()), file);
        let path = path.to_owned();
        state.calls.push(SystemCall::CreateFile { path, file });
        Ok(made)
    }

    fn write_all(&self, file: &File, content: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        SystemCalls.write_all(file, content)?;
        let content = content.into();
        let number = state.number(file)?;
        let call = number.map(|file| SystemCall::Write { file, content });
        state.calls.extend(call);
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.state();
        SystemCalls.sync(file)?;
        let number = state.number(file)?;
        let call = number.map(|file| SystemCall::SyncFile { file });
        state.calls.extend(call);
        Ok(())
    }

    /// Not logged: whoever reads after a crash owns the files.
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        SystemCalls.set_mode(file, mode)
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.log(
            || SystemCalls.rename(source, target),
            |()| SystemCall::Rename {
                source: source.to_owned(),
                target: target.to_owned(),
            },
        )
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.log(
            || SystemCalls.sync_directory(directory),
            |()| SystemCall::SyncDirectory {
                path: directory.to_owned(),
            },
        )
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.log(
            || SystemCalls.unlink(path),
            |()| SystemCall::Unlink {
                path: path.to_owned(),
            },
        )
    }

    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.log(
            || SystemCalls.create_directory(path, mode),
            |()| SystemCall::CreateDirectory {
                path: path.to_owned(),
            },
        )
    }
}

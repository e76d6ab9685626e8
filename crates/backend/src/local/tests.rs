//! Every system call of a save fails once, at every place.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lifeboat_model::{ErrorKind, Id};
use rustix::io::Errno;

use super::calls::{Calls, SystemCalls};
use super::*;

/// Fails the nth call with an error of the system; logs what was synced.
#[derive(Debug, Default)]
struct FailingCalls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fail_at: usize,
    error: Option<Errno>,
    names: Vec<&'static str>,
    failed_files: BTreeSet<u64>,
}

impl FailingCalls {
    fn arm(&self, fail_at: usize, error: Errno) {
        let mut state = self.state.lock().unwrap();
        *state = State {
            fail_at,
            error: Some(error),
            ..State::default()
        };
    }

    fn names(&self) -> Vec<&'static str> {
        self.state.lock().unwrap().names.clone()
    }

    /// Counts a call; an error when it is its turn.
    fn step(&self, name: &'static str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.names.push(name);
        match state.error {
            Some(error) if state.names.len() == state.fail_at => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Calls for Arc<FailingCalls> {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.step("create_new")?;
        let file = SystemCalls.create_new(path, mode)?;
        // A new file may have the number of one that is gone.
        self.state
            .lock()
            .unwrap()
            .failed_files
            .remove(&file.metadata()?.ino());
        Ok(file)
    }

    /// Fails in the middle.
    fn write_all(&self, file: &File, content: &[u8]) -> io::Result<()> {
        let step = self.step("write_all");
        let length = if step.is_ok() {
            content.len()
        } else {
            content.len() / 2
        };
        SystemCalls.write_all(file, &content[..length])?;
        step
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        let step = self.step("sync");
        let mut state = self.state.lock().unwrap();
        assert!(
            !state.failed_files.contains(&inode),
            "a failed sync was repeated"
        );
        if step.is_err() {
            state.failed_files.insert(inode);
        }
        step
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.step("set_mode")?;
        SystemCalls.set_mode(file, mode)
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.step("rename")?;
        SystemCalls.rename(source, target)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step("sync_directory")?;
        SystemCalls.sync_directory(directory)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.step("unlink")?;
        SystemCalls.unlink(path)
    }

    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step("create_directory")?;
        SystemCalls.create_directory(path, mode)
    }
}

fn failing() -> (tempfile::TempDir, Arc<FailingCalls>, Local) {
    let place = tempfile::tempdir().unwrap();
    let calls = Arc::new(FailingCalls::default());
    let local = Local::with_calls(place.path(), Box::new(calls.clone())).unwrap();
    local.create().unwrap();
    (place, calls, local)
}

const FILE: FileHandle = FileHandle {
    kind: FileKind::Pack,
    id: Id([3; 32]),
};

#[test]
fn a_save_syncs_the_file_before_and_the_directory_after_the_rename() {
    let (_place, calls, local) = failing();
    calls.arm(0, Errno::IO);
    local.save(FILE, b"content").unwrap();
    let order = [
        "create_new",
        "write_all",
        "set_mode",
        "sync",
        "rename",
        "sync_directory",
    ];
    assert_eq!(calls.names(), order);
    calls.arm(0, Errno::IO);
    local.save(FILE, b"content").unwrap();
    assert_eq!(
        calls.names(),
        ["sync", "sync_directory"],
        "what is there is made durable"
    );
    calls.arm(0, Errno::IO);
    local.remove(FILE).unwrap();
    assert_eq!(calls.names(), ["unlink", "sync_directory"]);
}

#[test]
fn any_failed_call_is_told_and_leaves_all_or_nothing() {
    let errors = [
        (Errno::NOSPC, ErrorKind::Full),
        (Errno::DQUOT, ErrorKind::Full),
        (Errno::IO, ErrorKind::Io),
        (Errno::INTR, ErrorKind::Io),
        (Errno::STALE, ErrorKind::Io),
        (Errno::ACCESS, ErrorKind::Denied),
        (Errno::ROFS, ErrorKind::Denied),
    ];
    let (_place, calls, local) = failing();
    for (errno, kind) in errors {
        for old in [None, Some(b"old".as_slice())] {
            for fail_at in 1..=6 {
                calls.arm(0, errno);
                let _ = local.remove(FILE);
                if let Some(old) = old {
                    local.save(FILE, old).unwrap();
                }
                calls.arm(fail_at, errno);
                let error = local.save(FILE, b"content").unwrap_err();
                assert_eq!(error.kind(), kind, "{:?}", calls.names());
                assert_eq!(local.strays().unwrap(), [], "{:?}", calls.names());
                let stored = local.load(FILE).ok();
                let whole = Some(b"content".to_vec());
                assert!(stored.as_deref() == old || stored == whole, "{stored:?}");
                local.save(FILE, b"content").unwrap();
                assert_eq!(local.load(FILE).unwrap(), b"content");
            }
        }
    }
}

#[test]
fn the_old_config_survives_any_failure_before_the_rename() {
    for fail_at in 1..=5 {
        let (_place, calls, local) = failing();
        local.save(FileHandle::CONFIG, b"old").unwrap();
        calls.arm(fail_at, Errno::IO);
        local.save(FileHandle::CONFIG, b"new").unwrap_err();
        assert_eq!(local.load(FileHandle::CONFIG).unwrap(), b"old");
    }
}

#[test]
fn a_work_name_that_is_taken_is_not_touched() {
    let (place, calls, local) = failing();
    calls.arm(1, Errno::EXIST);
    local.save(FILE, b"content").unwrap();
    assert_eq!(calls.names()[..2], ["create_new", "create_new"]);
    assert!(
        place
            .path()
            .join("data/03")
            .join(FILE.id.to_string())
            .exists()
    );
}

#[test]
fn a_failed_create_can_be_repeated() {
    for fail_at in [1, 2, 5, 100, 261, 262, 263] {
        let place = tempfile::tempdir().unwrap();
        let calls = Arc::new(FailingCalls::default());
        let local = Local::with_calls(place.path(), Box::new(calls.clone())).unwrap();
        calls.arm(fail_at, Errno::NOSPC);
        assert_eq!(
            local.create().unwrap_err().kind(),
            ErrorKind::Full,
            "{fail_at}"
        );
        local.create().unwrap();
        local.save(FILE, b"content").unwrap();
    }
}

#[test]
fn messages_name_the_file_the_place_and_what_to_do() {
    let (place, calls, local) = failing();
    calls.arm(2, Errno::NOSPC);
    let error = local.save(FILE, b"content").unwrap_err();
    let text = format!(
        "saving pack 03030303 at {}: no space left; make room on that file system (prune also \
         does) or raise the quota, then run again",
        place.path().display()
    );
    assert_eq!(error.to_string(), text);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "No space left on device (os error 28)");
}

#[test]
fn a_place_that_is_only_read_is_told_apart_from_missing_rights() {
    let error = Error::new(ErrorKind::Denied, Doing::FindStrays, "/backup".to_owned());
    let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
    let told = super::explained(error, read_only).to_string();
    assert!(told.contains("ReadWritePaths="), "{told}");
}

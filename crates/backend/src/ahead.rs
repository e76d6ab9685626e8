//! Loads small files while their reader still works on something else, as on a password.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::{Backend, FileHandle, FileKind, Listed, Result, Upkeep};

/// What is loaded and not asked for yet takes at most this much.
const BYTES_MAX: usize = 64 << 20;

/// A place whose files of one kind are loaded from the moment this is made, by one thread.
///
/// Each is given out once; who asks again gets what the place holds by then. Lists are always
/// those of the place.
#[derive(Debug)]
pub struct LoadedAhead {
    inner: Arc<dyn Backend>,
    kind: FileKind,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<FileHandle, Vec<u8>>,
    /// Asked for before they were loaded: not loaded twice.
    missed: HashSet<FileHandle>,
    bytes: usize,
    is_over: bool,
}

impl LoadedAhead {
    /// Begins to load all files of `kind`.
    pub fn begin(inner: Arc<dyn Backend>, kind: FileKind) -> Self {
        let shared = Arc::new(Shared::default());
        let (place, theirs) = (Arc::clone(&inner), Arc::clone(&shared));
        thread::spawn(move || load_all(&*place, kind, &theirs));
        Self {
            inner,
            kind,
            shared,
        }
    }
}

impl Drop for LoadedAhead {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }

    fn take(&self, file: FileHandle) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let Some(content) = state.files.remove(&file) else {
            state.missed.insert(file);
            return None;
        };
        state.bytes -= content.len();
        self.changed.notify_all();
        Some(content)
    }

    fn is_wanted(&self, file: FileHandle) -> bool {
        !self.lock().missed.contains(&file)
    }

    /// Keeps a file when there is room; says whether more are wanted.
    fn put(&self, file: FileHandle, content: Vec<u8>) -> bool {
        let mut state = self.lock();
        while !state.is_over && state.bytes > 0 && state.bytes + content.len() > BYTES_MAX {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(|p| p.into_inner());
        }
        if !state.missed.contains(&file) {
            state.bytes += content.len();
            state.files.insert(file, content);
        }
        !state.is_over
    }
}

/// Failures are left to whoever asks for the file.
fn load_all(place: &dyn Backend, kind: FileKind, shared: &Shared) {
    for listed in place.list(kind).unwrap_or_default() {
        let file = FileHandle {
            kind,
            id: listed.id,
        };
        if shared.is_wanted(file)
            && let Ok(content) = place.load(file)
            && !shared.put(file, content)
        {
            return;
        }
    }
}

impl Backend for LoadedAhead {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        self.inner.size(file)
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        let ahead = (file.kind == self.kind).then(|| self.shared.take(file));
        ahead.flatten().map_or_else(|| self.inner.load(file), Ok)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read(file, offset, buffer)
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        self.inner.save(file, content)
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        // What was removed is not given out any more.
        self.shared.take(file);
        self.inner.remove(file)
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        self.inner.upkeep()
    }
}

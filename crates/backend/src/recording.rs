//! Remembers every effect, so that a crash after each of them can be replayed.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Backend, FileHandle, FileKind, Listed, Memory, Result, Upkeep};

/// One change of a place, as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The empty layout was made.
    Create,
    /// A file was stored.
    Save {
        /// Which one.
        file: FileHandle,
        /// What it holds.
        content: Arc<[u8]>,
    },
    /// A file was removed.
    Remove {
        /// Which one.
        file: FileHandle,
    },
}

/// Logs what succeeded, in an order that respects what each caller waited for.
#[derive(Debug)]
pub struct Recording {
    inner: Arc<dyn Backend>,
    effects: Mutex<Vec<Effect>>,
}

impl Recording {
    /// Records what is done to `inner` from now on.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self {
            inner,
            effects: Mutex::default(),
        }
    }

    /// All effects so far, oldest first; contents are shared, not copied.
    pub fn effects(&self) -> Vec<Effect> {
        self.log().clone()
    }

    fn log(&self) -> MutexGuard<'_, Vec<Effect>> {
        self.effects.lock().unwrap_or_else(|p| p.into_inner())
    }
}

impl Memory {
    /// The place as it is after `effects`; a prefix gives the place after a crash.
    ///
    /// Errors: those of the calls, when the effects do not fit the place they start from.
    pub fn replay(&self, effects: &[Effect]) -> Result<()> {
        effects.iter().try_for_each(|effect| match effect {
            Effect::Create => self.create(),
            Effect::Save { file, content } => self.save(*file, content),
            Effect::Remove { file } => self.remove(*file),
        })
    }
}

impl Backend for Recording {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        self.inner.upkeep()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()?;
        self.log().push(Effect::Create);
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        self.inner.size(file)
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        self.inner.load(file)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read(file, offset, buffer)
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        self.inner.save(file, content)?;
        // Order: logged before the caller can know, so nothing that follows from it comes first.
        let content = content.into();
        self.log().push(Effect::Save { file, content });
        Ok(())
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        self.inner.remove(file)?;
        self.log().push(Effect::Remove { file });
        Ok(())
    }
}

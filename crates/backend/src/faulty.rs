//! Fails chosen calls in chosen ways, for tests and simulation.

use std::sync::{Arc, Mutex, MutexGuard};

use lifeboat_model::ErrorKind;

use crate::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Result, Upkeep};

/// How a call goes wrong. On calls where a way has no meaning the call passes unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and an error of this kind is told.
    Error(ErrorKind),
    /// All happens, but the answer is lost: an error of this kind is told.
    AnswerLost(ErrorKind),
    /// `save` stores only so many bytes and tells an `Io` error.
    ShortWrite(usize),
    /// `save` stores only so many bytes and tells success.
    TruncatedWrite(usize),
    /// `save` or `remove` do nothing and tell success.
    LyingSuccess,
    /// `load` gives only so many bytes, `list` so many files; `read` tells `Corrupt`.
    TruncatedRead(usize),
    /// One bit of what `load` or `read` give or `save` stores is turned; counted modulo length.
    BitFlip(usize),
}

/// Which calls go wrong, and how.
#[derive(Clone, Copy, Debug)]
pub struct FaultRule {
    /// Only this call; none means every call.
    pub call: Option<Call>,
    /// Only files of this kind; none means every kind.
    pub kind: Option<FileKind>,
    /// Matching calls that pass before the first one fails.
    pub pass: u64,
    /// How many fail then; `u64::MAX` means all.
    pub fail: u64,
    /// What happens to them.
    pub fault: Fault,
}

impl FaultRule {
    /// Every such call fails, for all kinds of file.
    pub fn every(call: Call, fault: Fault) -> Self {
        Self {
            call: Some(call),
            kind: None,
            pass: 0,
            fail: u64::MAX,
            fault,
        }
    }

    /// Only the `nth` such call fails; the first is 1.
    pub fn nth(call: Call, nth: u64, fault: Fault) -> Self {
        assert!(nth > 0, "calls are counted from 1");
        Self {
            pass: nth - 1,
            fail: 1,
            ..Self::every(call, fault)
        }
    }

    /// The same for files of one kind.
    pub fn of(self, kind: FileKind) -> Self {
        Self {
            kind: Some(kind),
            ..self
        }
    }
}

/// Passes calls to `inner` and breaks those that a rule names; the first rule that fires wins.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Backend>,
    rules: Mutex<Vec<(FaultRule, u64)>>,
    fired: Mutex<u64>,
}

impl Faulty {
    /// Breaks nothing until a rule is added.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self {
            inner,
            rules: Mutex::default(),
            fired: Mutex::default(),
        }
    }

    /// Adds a rule; it counts calls from now on.
    pub fn add(&self, rule: FaultRule) -> &Self {
        self.rules().push((rule, 0));
        self
    }

    /// Takes all rules away.
    pub fn heal(&self) {
        self.rules().clear();
    }

    /// How many calls were broken so far; zero says that an operation needed fewer calls.
    pub fn fired(&self) -> u64 {
        *self.fired.lock().unwrap_or_else(|p| p.into_inner())
    }

    fn rules(&self) -> MutexGuard<'_, Vec<(FaultRule, u64)>> {
        self.rules.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Counts the call in every rule it matches, and gives the fault of the first that fires.
    fn fault(&self, call: Call, kind: FileKind) -> Option<Fault> {
        let mut fault = None;
        for (rule, seen) in self.rules().iter_mut() {
            let matches =
                rule.call.is_none_or(|c| c == call) && rule.kind.is_none_or(|k| k == kind);
            if matches {
                let fires = *seen >= rule.pass && *seen - rule.pass < rule.fail;
                *seen += 1;
                fault = fault.or(fires.then_some(rule.fault));
            }
        }
        if fault.is_some() {
            *self.fired.lock().unwrap_or_else(|p| p.into_inner()) += 1;
        }
        fault
    }

    fn error(&self, kind: ErrorKind, call: Call) -> Error {
        Error::new(kind, Doing::Call(call), self.location()).seen("a fault was injected")
    }

    /// Makes the call between the faults that every call can have.
    fn around<T>(
        &self,
        fault: Option<Fault>,
        call: Call,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match fault {
            Some(Fault::Error(kind)) => Err(self.error(kind, call)),
            Some(Fault::AnswerLost(kind)) => make().and_then(|_| Err(self.error(kind, call))),
            _ => make(),
        }
    }
}

fn flip(content: &mut [u8], bit: usize) {
    let bits = content.len() * 8;
    if bits > 0 {
        content[bit % bits / 8] ^= 1 << (bit % 8);
    }
}

impl Backend for Faulty {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        self.inner.upkeep()
    }

    fn create(&self) -> Result<()> {
        let fault = self.fault(Call::Create, FileKind::Config);
        self.around(fault, Call::Create, || self.inner.create())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let fault = self.fault(Call::List, kind);
        let mut listed = self.around(fault, Call::List, || self.inner.list(kind))?;
        if let Some(Fault::TruncatedRead(count)) = fault {
            listed.truncate(count);
        }
        Ok(listed)
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        let fault = self.fault(Call::Size, file.kind);
        self.around(fault, Call::Size, || self.inner.size(file))
            .map_err(|e| e.on(file))
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        let fault = self.fault(Call::Load, file.kind);
        let loaded = self.around(fault, Call::Load, || self.inner.load(file));
        let mut content = loaded.map_err(|e| e.on(file))?;
        match fault {
            Some(Fault::TruncatedRead(length)) => content.truncate(length),
            Some(Fault::BitFlip(bit)) => flip(&mut content, bit),
            _ => {}
        }
        Ok(content)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let fault = self.fault(Call::Read, file.kind);
        if matches!(fault, Some(Fault::TruncatedRead(length)) if length < buffer.len()) {
            return Err(self.error(ErrorKind::Corrupt, Call::Read).on(file));
        }
        self.around(fault, Call::Read, || self.inner.read(file, offset, buffer))
            .map_err(|e| e.on(file))?;
        if let Some(Fault::BitFlip(bit)) = fault {
            flip(buffer, bit);
        }
        Ok(())
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        let fault = self.fault(Call::Save, file.kind);
        let part = |length: usize| &content[..length.min(content.len())];
        let saved = match fault {
            Some(Fault::LyingSuccess) => return Ok(()),
            Some(Fault::TruncatedWrite(length)) => self.inner.save(file, part(length)),
            Some(Fault::ShortWrite(length)) => {
                let saved = self.inner.save(file, part(length));
                saved.and_then(|()| Err(self.error(ErrorKind::Io, Call::Save)))
            }
            Some(Fault::BitFlip(bit)) => {
                let mut damaged = content.to_vec();
                flip(&mut damaged, bit);
                self.inner.save(file, &damaged)
            }
            _ => self.around(fault, Call::Save, || self.inner.save(file, content)),
        };
        saved.map_err(|e| e.on(file))
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        match self.fault(Call::Remove, file.kind) {
            Some(Fault::LyingSuccess) => Ok(()),
            fault => self
                .around(fault, Call::Remove, || self.inner.remove(file))
                .map_err(|e| e.on(file)),
        }
    }
}

//! The key files: one per password, all open the same master key.

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{KeyFile, KeyId, KeyOwner, MasterKey, ScryptCost};
use lifeboat_model::{ErrorKind, Id, Secret};

use crate::check::is_damage;
use crate::error::{Cause, Doing};
use crate::{Environment, Error, Repository, Result};

/// Most key files that are tried with one password, as in restic; each costs about 0.1 s.
const KEYS_TRIED_MAX: usize = 20;

/// What a key may cost to be tried in its turn; restic's own cost up to 200 MiB.
const USUAL_WORK_MAX: u64 = 512 << 20;

/// What all tries of one password may cost together: some twenty seconds.
const WORK_MAX: u64 = 8 << 30;

/// A key file as lists show it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub id: KeyId,
    /// What it says of its owner.
    pub file: KeyFile,
    /// Whether it opened the repository for us.
    pub is_current: bool,
}

/// Finds the key file that opens with `password`.
///
/// Damaged key files are passed over; only when no key opens are they named. Keys of an unusual
/// cost are tried last, the cheapest first: whoever can add a file to a repository cannot make
/// others wait before their own key is tried.
pub(crate) fn find(backend: &dyn Backend, password: &Secret) -> Result<(KeyId, MasterKey)> {
    let mut listed = backend
        .list(FileKind::Key)
        .doing(|| "cannot list the keys".to_owned())?;
    listed.sort_unstable_by_key(|file| file.id);
    let mut tries = Tries::default();
    let mut costly = Vec::new();
    for file in listed.iter().take(KEYS_TRIED_MAX) {
        match Candidate::load(backend, file.id) {
            Ok(candidate) if candidate.key.work() > USUAL_WORK_MAX => costly.push(candidate),
            Ok(candidate) => {
                if let Some(master) = tries.open(&candidate, password) {
                    return Ok((file.id.into(), master));
                }
            }
            Err(error) => tries.note(error),
        }
    }
    costly.sort_by_key(|candidate| candidate.key.work());
    for candidate in &costly {
        if let Some(master) = tries.open(candidate, password) {
            return Ok((candidate.file.id.into(), master));
        }
    }
    match tries.broken {
        // A sound key has refused the password: that is what a person can mend.
        Some(error) if !tries.is_denied || !is_damage(&error) => Err(error),
        None if listed.is_empty() => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the repository at {} has lost its keys: no key file",
                backend.location()
            ),
        )),
        broken => Err(wrong_password(backend, broken)),
    }
}

/// A key file that can be read.
struct Candidate {
    file: FileHandle,
    key: KeyFile,
    is_whole: bool,
}

impl Candidate {
    fn load(backend: &dyn Backend, id: Id) -> Result<Self> {
        let file = FileHandle::new(FileKind::Key, id);
        let load = || backend.load(file).doing(|| format!("cannot load {file}"));
        let is_whole = |json: &[u8]| Id::from(lifeboat_format::BlobId::of(json)) == id;
        let mut json = load()?;
        // Damage on the way is not damage in the repository.
        if !is_whole(&json) {
            json = load()?;
        }
        let key = KeyFile::decode(&json).doing(|| format!("{file} is damaged"))?;
        let is_whole = is_whole(&json);
        Ok(Self {
            file,
            key,
            is_whole,
        })
    }
}

/// What became of the keys so far.
#[derive(Default)]
struct Tries {
    work: u64,
    is_denied: bool,
    /// The first reason why a key could not be tried.
    broken: Option<Error>,
}

impl Tries {
    fn note(&mut self, error: Error) {
        if error.kind() == ErrorKind::Denied {
            self.is_denied = true;
        } else if self.broken.is_none() {
            self.broken = Some(error);
        }
    }

    fn open(&mut self, candidate: &Candidate, password: &Secret) -> Option<MasterKey> {
        let Candidate {
            file,
            key,
            is_whole,
        } = candidate;
        let work = key.work();
        if work > WORK_MAX - self.work {
            self.note(too_costly(*file));
            return None;
        }
        let opened = key.open(password).doing(|| format!("cannot open {file}"));
        if !matches!(&opened, Err(error) if error.kind() == ErrorKind::Unsupported) {
            self.work += work;
        }
        match opened {
            Ok(master) => return Some(master),
            // A flipped bit in the salt looks like a wrong password.
            Err(error) if error.kind() == ErrorKind::Denied && !is_whole => {
                self.note(Error::new(
                    ErrorKind::Corrupt,
                    format!("{file} is damaged: its content does not hash to its name"),
                ));
            }
            Err(error) => self.note(error),
        }
        None
    }
}

fn too_costly(file: FileHandle) -> Error {
    let doing = format!(
        "no key that was tried opens with this password, and {file} was not tried: the keys of \
         this repository ask for more work than {} GiB in all; if somebody has added costly keys, \
         remove their files",
        WORK_MAX >> 30
    );
    Error::new(ErrorKind::Unsupported, doing)
}

fn wrong_password(backend: &dyn Backend, broken: Option<Error>) -> Error {
    let place = backend.location();
    let doing = format!("no key of the repository at {place} opens with this password");
    let denied = |doing| Error::new(ErrorKind::Denied, doing).with_cause(Cause::WrongPassword);
    match broken {
        Some(broken) => denied(format!("{doing}, and some keys are damaged")).with_source(broken),
        None => denied(doing),
    }
}

/// Seals `master` for `password` and stores it as a new key file.
pub(crate) fn store(
    backend: &dyn Backend,
    master: &MasterKey,
    password: &Secret,
    cost: ScryptCost,
    environment: &Environment,
) -> Result<KeyId> {
    let owner = KeyOwner {
        created: environment.now(),
        username: environment.owner.username.clone(),
        hostname: environment.owner.hostname.clone(),
    };
    let (_, json) = KeyFile::create(password, master, &owner, cost, &*environment.entropy)
        .doing(|| "cannot make a key".to_owned())?;
    let file = FileHandle {
        kind: FileKind::Key,
        id: lifeboat_format::BlobId::of(&json).into(),
    };
    backend
        .save(file, &json)
        .doing(|| format!("cannot store {file}"))?;
    Ok(file.id.into())
}

/// Lists all key files; damaged ones are an error that names them.
pub fn list(repository: &Repository) -> Result<Vec<Key>> {
    let files = repository.list(FileKind::Key)?;
    files
        .iter()
        .map(|listed| {
            let handle = FileHandle {
                kind: FileKind::Key,
                id: listed.id,
            };
            let json = repository.load_raw(handle)?;
            let file = KeyFile::decode(&json).doing(|| format!("{handle} is damaged"))?;
            let is_current = repository.key() == listed.id.into();
            Ok(Key {
                id: listed.id.into(),
                file,
                is_current,
            })
        })
        .collect()
}

/// Adds a key for `password`.
pub fn add(repository: &Repository, password: &Secret, cost: ScryptCost) -> Result<KeyId> {
    let backend = &**repository.backend();
    store(
        backend,
        repository.master(),
        password,
        cost,
        repository.environment(),
    )
}

/// Removes a key; refuses the one that opened the repository.
pub fn remove(repository: &Repository, id: KeyId) -> Result<()> {
    if id == repository.key() {
        return Err(Error::new(
            ErrorKind::Invalid,
            "refusing to remove the key in use: open the repository with another key first",
        ));
    }
    repository.remove(FileKind::Key, id.into())
}

/// Replaces the key in use by one for `password`; the new one is durable before the old one goes.
pub fn change(repository: &Repository, password: &Secret, cost: ScryptCost) -> Result<KeyId> {
    let new = add(repository, password, cost)?;
    find(&**repository.backend(), password).map_err(|source| {
        let kind = match source.kind() {
            ErrorKind::Denied => ErrorKind::Corrupt,
            kind => kind,
        };
        let doing = "the new key cannot be read back: the old password still opens the repository";
        Error::new(kind, doing).with_source(source)
    })?;
    let old = repository.key();
    // Also when the old one cannot be removed: it must not look as if the new one could be.
    repository.use_key(new);
    repository.remove(FileKind::Key, old.into())?;
    Ok(new)
}

//! The key files: one per password, all open the same master key.

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{KeyFile, KeyId, KeyOwner, MasterKey, ScryptCost};
use lifeboat_model::{ErrorKind, Id, Secret};

use crate::check::is_damage;
use crate::error::{Cause, Doing};
use crate::{Environment, Error, Repository, Result};

/// Most key files that are tried with one password; each costs about 0.1 s.
const KEYS_TRIED_MAX: usize = 20;

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
/// Damaged key files are passed over; only when no key opens are they named.
pub(crate) fn find(backend: &dyn Backend, password: &Secret) -> Result<(KeyId, MasterKey)> {
    let mut listed = backend
        .list(FileKind::Key)
        .doing(|| "cannot list the keys".to_owned())?;
    listed.sort_unstable_by_key(|file| file.id);
    let (mut broken, mut is_denied) = (None, false);
    for file in listed.iter().take(KEYS_TRIED_MAX) {
        match open_one(backend, file.id, password) {
            Ok(master) => return Ok((file.id.into(), master)),
            Err(error) if error.kind() == ErrorKind::Denied => is_denied = true,
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    match broken {
        // A sound key has refused the password: that is what a person can mend.
        Some(error) if !is_denied || !is_damage(&error) => Err(error),
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

fn wrong_password(backend: &dyn Backend, broken: Option<Error>) -> Error {
    let place = backend.location();
    let doing = format!("no key of the repository at {place} opens with this password");
    let denied = |doing| Error::new(ErrorKind::Denied, doing).with_cause(Cause::WrongPassword);
    match broken {
        Some(broken) => denied(format!("{doing}, and some keys are damaged")).with_source(broken),
        None => denied(doing),
    }
}

fn open_one(backend: &dyn Backend, id: Id, password: &Secret) -> Result<MasterKey> {
    let file = FileHandle {
        kind: FileKind::Key,
        id,
    };
    let json = backend.load(file).doing(|| format!("cannot load {file}"))?;
    let key = KeyFile::decode(&json).doing(|| format!("{file} is damaged"))?;
    let opened = key.open(password).doing(|| format!("cannot open {file}"));
    let is_whole = Id::from(lifeboat_format::BlobId::of(&json)) == id;
    match opened {
        // A flipped bit in the salt looks like a wrong password.
        Err(error) if error.kind() == ErrorKind::Denied && !is_whole => Err(Error::new(
            ErrorKind::Corrupt,
            format!("{file} is damaged: its content does not hash to its name"),
        )),
        opened => opened,
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
    find(&**repository.backend(), password)?;
    let old = repository.key();
    // Also when the old one cannot be removed: it must not look as if the new one could be.
    repository.use_key(new);
    repository.remove(FileKind::Key, old.into())?;
    Ok(new)
}

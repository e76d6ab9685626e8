//! Opening a repository, and its small files.

use std::sync::{Arc, Mutex};

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{self as format, ConfigFile, KeyId, MasterKey};
use lifeboat_model::{ErrorKind, Id, Secret};

use crate::error::{Cause, Doing};
use crate::index::{Index, IndexBuilder};
use crate::{Environment, Error, Result, keys};

/// zstd level of small files.
const UNPACKED_LEVEL: i32 = 3;

/// An opened repository.
#[derive(Clone, Debug)]
pub struct Repository {
    backend: Arc<dyn Backend>,
    environment: Environment,
    master: MasterKey,
    config: ConfigFile,
    /// Shared by all clones: a change of the password replaces it.
    key: Arc<Mutex<KeyId>>,
}

/// How a new repository is laid out.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Cost of deriving a key from a password.
    pub cost: format::ScryptCost,
    /// Our own settings, kept in the config file.
    pub settings: Option<format::Settings>,
    /// Take over another repository's chunker polynomial, so that both cut alike.
    pub polynomial: Option<u64>,
}

impl Repository {
    /// Makes a new repository at `backend`, protected by `password`.
    ///
    /// Order: layout, key, config; the config file is the commit point.
    ///
    /// An interrupted attempt with the same password is completed: its key stays.
    ///
    /// Errors: `Exists` if there is one already, or what is left of one.
    pub fn init(
        backend: Arc<dyn Backend>,
        password: &Secret,
        options: &InitOptions,
        environment: Environment,
    ) -> Result<Self> {
        let place = backend.location();
        backend
            .create()
            .doing(|| format!("cannot create a repository at {place}"))?;
        if let Some(upkeep) = backend.upkeep() {
            // What an interrupted attempt has left is in nobody's way.
            let _ = upkeep.sweep(None, &*environment.clock);
        }
        let (key, master) = match left_key(&*backend, password)? {
            Some(found) => found,
            None => {
                let master = MasterKey::generate(&*environment.entropy);
                let key = keys::store(&*backend, &master, password, options.cost, &environment)?;
                (key, master)
            }
        };
        let mut config = ConfigFile::create(&*environment.entropy);
        config.settings = options.settings.clone();
        if let Some(polynomial) = options.polynomial {
            config.chunker_polynomial = polynomial;
        }
        let sealed = config
            .encode(&master, &*environment.entropy)
            .doing(|| "cannot encode the configuration".to_owned())?;
        let file = FileHandle {
            kind: FileKind::Config,
            id: Id::default(),
        };
        backend
            .save(file, &sealed)
            .doing(|| format!("cannot store the configuration at {place}"))?;
        Ok(Self {
            backend,
            environment,
            master,
            config,
            key: Arc::new(Mutex::new(key)),
        })
    }

    /// Opens the repository at `backend` with `password`.
    ///
    /// Errors, by [`Cause`]: `NoRepository`, `WrongPassword`; `Unsupported` for a newer format,
    /// `Corrupt` for damaged key or configuration files.
    pub fn open(
        backend: Arc<dyn Backend>,
        password: &Secret,
        environment: Environment,
    ) -> Result<Self> {
        let place = backend.location();
        let sealed = load_config(&*backend, &place)?;
        let (key, master) = keys::find(&*backend, password)?;
        let config = ConfigFile::decode(&sealed, &master)
            .doing(|| format!("cannot read the configuration of the repository at {place}"))?;
        Ok(Self {
            backend,
            environment,
            master,
            config,
            key: Arc::new(Mutex::new(key)),
        })
    }

    /// Where its files are kept.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Time, randomness, and who we are.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Its configuration.
    pub fn config(&self) -> &ConfigFile {
        &self.config
    }

    /// The key file that opens it for us.
    pub fn key(&self) -> KeyId {
        *self.key.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    pub(crate) fn use_key(&self, key: KeyId) {
        *self.key.lock().unwrap_or_else(|poison| poison.into_inner()) = key;
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Loads a small file; its content must hash to its name.
    ///
    /// A mismatch is read once more: damage on the way is not damage in the repository.
    pub fn load_raw(&self, file: FileHandle) -> Result<Vec<u8>> {
        let load = || {
            self.backend
                .load(file)
                .doing(|| format!("cannot load {file}"))
        };
        let mut bytes = load()?;
        if file.kind != FileKind::Config && Id::from(format::BlobId::of(&bytes)) != file.id {
            bytes = load()?;
            if Id::from(format::BlobId::of(&bytes)) != file.id {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{file} is damaged: its content does not hash to its name"),
                ));
            }
        }
        Ok(bytes)
    }

    /// Loads and opens an index, snapshot or lock file: gives its JSON.
    pub fn load_unpacked(&self, file: FileHandle) -> Result<Vec<u8>> {
        let sealed = self.load_raw(file)?;
        match file.kind {
            FileKind::Key => Ok(sealed),
            FileKind::Config => self
                .master
                .unseal(&sealed)
                .doing(|| "cannot open the configuration".to_owned()),
            // What a kind may have on storage, it may have when it is decompressed.
            kind => {
                let bytes_max = usize::try_from(kind.bytes_max()).unwrap_or(usize::MAX);
                format::decode_unpacked(&sealed, &self.master, bytes_max)
                    .doing(|| format!("cannot open {file}"))
            }
        }
    }

    /// Seals and stores the JSON of an index, snapshot or lock file; durable on return.
    pub fn save_unpacked(&self, kind: FileKind, json: &[u8]) -> Result<Id> {
        let (file, sealed) = self.seal(kind, json)?;
        let saved = self.backend.save(file, &sealed);
        saved.doing(|| format!("cannot store {file}"))?;
        Ok(file.id)
    }

    /// Does so with a file that means something to others by being there: what a call that
    /// failed has left under its name all the same is removed.
    pub(crate) fn save_or_remove(&self, kind: FileKind, json: &[u8]) -> Result<Id> {
        let (file, sealed) = self.seal(kind, json)?;
        let saved = self.backend.save(file, &sealed);
        if saved.is_err() {
            let _ = self.backend.remove(file);
        }
        saved.doing(|| format!("cannot store {file}"))?;
        Ok(file.id)
    }

    fn seal(&self, kind: FileKind, json: &[u8]) -> Result<(FileHandle, Vec<u8>)> {
        let level = if self.config.version < 2 {
            None
        } else {
            Some(UNPACKED_LEVEL)
        };
        let entropy = &*self.environment.entropy;
        let sealed = format::encode_unpacked(json, level, &self.master, entropy)
            .doing(|| "cannot compress a repository file".to_owned())?;
        self.recheck(kind, json, &sealed)?;
        let file = FileHandle {
            kind,
            id: format::BlobId::of(&sealed).into(),
        };
        Ok((file, sealed))
    }

    /// Opens what was just sealed: these files are few and small, and one of them leads to much.
    fn recheck(&self, kind: FileKind, json: &[u8], sealed: &[u8]) -> Result<()> {
        let doing = || {
            format!(
                "a new {kind} file did not survive sealing; \
                 this machine's memory or processor is faulty: test it before going on"
            )
        };
        let opened = format::decode_unpacked(sealed, &self.master, json.len().max(1));
        if opened.doing(doing)? == json {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, doing()))
    }

    /// Removes one file; a file that is gone already is fine.
    pub(crate) fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        let file = FileHandle { kind, id };
        match self.backend.remove(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.doing(|| format!("cannot remove {file}")),
        }
    }

    /// Loads all index files.
    ///
    /// Starts over when a file vanishes meanwhile: a prune beside us replaces index files.
    pub fn load_index(&self) -> Result<Index> {
        let builder = self.load_index_files()?;
        Ok(builder.build_with(self.environment.threads))
    }

    /// Loads all index files for somebody who reads and stores nothing.
    ///
    /// Blobs that lie only in marked packs are found too: a prune that died, or met a list that
    /// was late, may have marked what a new snapshot needs; the next prune lists it again.
    pub fn load_index_to_read(&self) -> Result<Index> {
        let builder = self.load_index_files()?;
        Ok(builder.build_to_read(self.environment.threads))
    }

    fn load_index_files(&self) -> Result<IndexBuilder> {
        let mut builder = IndexBuilder::new();
        let mut last = None;
        for _ in 0..5 {
            match crate::load::index_files(self, |id, file| builder.add_file(id, file)) {
                Ok(()) => return Ok(builder),
                Err(error) if error.kind() == ErrorKind::NotFound => last = Some(error),
                Err(error) => return Err(error),
            }
            builder = IndexBuilder::new();
        }
        Err(last.unwrap_or_else(Error::cancelled))
    }

    /// Lists the files of one kind, sorted by id.
    pub fn list(&self, kind: FileKind) -> Result<Vec<lifeboat_backend::Listed>> {
        let mut files = self.backend.list(kind).doing(|| {
            format!(
                "cannot list the {kind} files at {}",
                self.backend.location()
            )
        })?;
        files.sort_unstable_by_key(|file| file.id);
        Ok(files)
    }
}

/// The key that an interrupted `init` has left, if any.
///
/// Two keys with different master keys under one password would make a repository that opens by
/// chance.
fn left_key(backend: &dyn Backend, password: &Secret) -> Result<Option<(KeyId, MasterKey)>> {
    let place = backend.location();
    let has = |kind: FileKind| {
        let listed = backend.list(kind).doing(|| format!("cannot list {place}"));
        listed.map(|files| !files.is_empty())
    };
    let exists = |left: &str| Error::new(ErrorKind::Exists, format!("{place} {left}"));
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        if has(kind)? {
            let left = "has lost its configuration but holds data: bring back its 'config' file";
            return Err(exists(left));
        }
    }
    if !has(FileKind::Key)? {
        return Ok(None);
    }
    keys::find(backend, password).map(Some).map_err(|error| {
        let left = "holds keys of an unfinished repository that this password does not open: \
                    use the password of that attempt, or remove the folder 'keys'";
        exists(left).with_source(error)
    })
}

fn load_config(backend: &dyn Backend, place: &str) -> Result<Vec<u8>> {
    let file = FileHandle {
        kind: FileKind::Config,
        id: Id::default(),
    };
    backend.load(file).map_err(|source| {
        let (kind, cause) = (source.kind(), Cause::NoRepository);
        if kind == ErrorKind::NotFound {
            let doing = format!(
                "there is no repository at {place}: is it mounted, and the path right? Only where \
                 a new one is wanted: 'lifeboat init'"
            );
            Error::new(kind, doing).with_cause(cause)
        } else {
            Error::new(kind, format!("cannot open the repository at {place}")).with_source(source)
        }
    })
}

//! What every command needs: the repository, its password, the environment, the output.

mod held;
mod named;
mod owner;
mod password;
mod turns;

use std::sync::Arc;

use lifeboat_backend::{Backend, FileKind, LoadedAhead, Location};
use lifeboat_chunker::ChunkSizes;
use lifeboat_model::{
    ByteCount, CancelToken, ParseError, Progress, SystemClock, SystemEntropy, parse_span,
};
use lifeboat_platform::{Platform, SnapshotRules};
use lifeboat_repository::{
    Environment, Index, InitOptions, Lock, LockMode, LockWait, Repository, WriteOptions, lock,
    reserve,
};

pub(crate) use password::{Password, ask_new};

use named::Configured;

use crate::Wiring;
use crate::args::{GlobalArguments, PlatformArguments};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::progress::ProgressDisplay;
use crate::service::TELLS_STEPS;

/// The process around a command.
pub(crate) struct Context {
    pub(crate) global: GlobalArguments,
    pub(crate) output: Output,
    pub(crate) environment: Environment,
    pub(crate) wiring: Wiring,
    configured: Configured,
}

/// A repository that a command works on, locked for as long as this lives.
pub(crate) struct Locked<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) lock: Option<Lock<'a>>,
}

impl<'a> Locked<'a> {
    /// The lock of a command that writes; `--no-lock` is only for reading.
    pub(crate) fn lock(&self) -> Result<&Lock<'a>> {
        self.lock
            .as_ref()
            .ok_or_else(|| Error::usage("--no-lock is only for commands that read"))
    }
}

impl Context {
    /// Takes the process's environment in; SIGINT and SIGTERM end the command from now on.
    pub(crate) fn new(global: &GlobalArguments, output: Output, wiring: Wiring) -> Result<Self> {
        let cancel = CancelToken::new();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // A second signal ends the process at once.
            let registered =
                signal_hook::flag::register_conditional_shutdown(signal, 130, cancel.flag())
                    .and_then(|_| signal_hook::flag::register(signal, cancel.flag()));
            registered.map_err(|e| Error::usage(format!("cannot catch signals: {e}")))?;
        }
        held::tie(&cancel)?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let environment = Environment {
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            cancel,
            progress: Arc::new(Progress::new()),
            owner: owner::current(),
            threads: global.threads.unwrap_or(processors).max(1),
        };
        let context = Self {
            global: global.clone(),
            output,
            environment,
            wiring,
            configured: Configured::default(),
        };
        Ok(context.with_configured_threads())
    }

    /// Shows progress until the result is dropped.
    pub(crate) fn show_progress(&self) -> Result<ProgressDisplay> {
        let frames = match std::env::var("RESTIC_PROGRESS_FPS") {
            Ok(text) => text
                .parse::<f64>()
                .map_err(|_| Error::usage(format!("RESTIC_PROGRESS_FPS={text} is not a number")))?,
            Err(_) => 10.0,
        };
        Ok(ProgressDisplay::start(
            self.output,
            Arc::clone(&self.environment.progress),
            frames,
        ))
    }

    /// Opens the platform that was named.
    pub(crate) fn open_platform(&self, arguments: &PlatformArguments) -> Result<Arc<dyn Platform>> {
        self.open_platform_by(arguments, None)
    }

    /// The same, with what was decided about snapshots of volumes.
    pub(crate) fn open_platform_by(
        &self,
        arguments: &PlatformArguments,
        rules: Option<SnapshotRules>,
    ) -> Result<Arc<dyn Platform>> {
        let uri = self.platform_uri(arguments)?;
        Ok((self.wiring.open_platform)(&uri, rules)?)
    }

    /// The place of the repository as it was written in the arguments or the environment.
    pub(crate) fn written_place(&self) -> Result<String> {
        let global = &self.global;
        let from_file = |path: &std::path::Path| {
            let text = std::fs::read_to_string(path).map_err(|e| {
                Error::usage(format!(
                    "cannot read the repository file {}: {e}",
                    path.display()
                ))
            })?;
            Ok(text.lines().next().unwrap_or_default().trim().to_owned())
        };
        if let Some(place) = &global.repository {
            return Ok(place.clone());
        }
        if let Some(path) = &global.repository_file {
            return from_file(path);
        }
        for name in ["LIFEBOAT_REPOSITORY", "RESTIC_REPOSITORY"] {
            if let Ok(place) = std::env::var(name) {
                return Ok(place);
            }
        }
        match std::env::var_os("RESTIC_REPOSITORY_FILE") {
            Some(path) => from_file(path.as_ref()),
            None => Err(Error::usage(
                "no repository: name one with -r PLACE or in LIFEBOAT_REPOSITORY",
            )),
        }
    }

    /// Opens the repository.
    pub(crate) fn open(&self) -> Result<Repository> {
        self.open_at(&self.place()?, &self.password()?)
    }

    /// Opens the repository for a command that will read all files of `kind`: they are loaded
    /// while the password is still worked on.
    pub(crate) fn open_for(&self, kind: FileKind) -> Result<Repository> {
        let backend = lifeboat_backend::open(&Location::parse(&self.place()?)?)?;
        let ahead = Arc::new(LoadedAhead::begin(backend, kind));
        self.open_backend(ahead, &self.password()?)
    }

    /// Opens the repository at `place`.
    pub(crate) fn open_at(&self, place: &str, password: &Password) -> Result<Repository> {
        let backend = lifeboat_backend::open(&Location::parse(place)?)?;
        self.open_backend(backend, password)
    }

    /// Opens the repository in `backend`.
    pub(crate) fn open_backend(
        &self,
        backend: Arc<dyn Backend>,
        password: &Password,
    ) -> Result<Repository> {
        // A missing repository is told before a password is asked for.
        let config = lifeboat_backend::FileHandle::CONFIG;
        if backend.size(config).is_err() {
            let empty = lifeboat_model::Secret::new(Vec::new());
            Repository::open(Arc::clone(&backend), &empty, self.environment.clone())?;
        }
        Ok(Repository::open(
            backend,
            &password.get()?,
            self.environment.clone(),
        )?)
    }

    /// Makes a new repository.
    pub(crate) fn init(&self, options: &InitOptions) -> Result<Repository> {
        let backend = lifeboat_backend::open(&Location::parse(&self.place()?)?)?;
        let password = self.password()?.get_new()?;
        Ok(Repository::init(
            backend,
            &password,
            options,
            self.environment.clone(),
        )?)
    }

    /// Locks `repository`, unless the command only reads and `--no-lock` is given.
    pub(crate) fn lock<'a>(
        &self,
        repository: &'a Repository,
        mode: LockMode,
    ) -> Result<Locked<'a>> {
        if self.global.no_lock && mode == LockMode::Shared {
            return Ok(Locked {
                repository,
                lock: None,
            });
        }
        if std::env::var_os(TELLS_STEPS).is_some() {
            self.output.step("repository", "lock");
        }
        let wait = match &self.global.retry_lock {
            Some(text) => LockWait(parse_span(text)?),
            None => LockWait::default(),
        };
        let lock = lock::acquire(repository, mode, wait).map_err(Error::from);
        let lock = lock.map_err(|error| match mode {
            LockMode::Shared if error.is_full() => {
                error.add("; commands that only read go on with --no-lock")
            }
            _ => error,
        })?;
        for unreadable in lock.unreadable() {
            self.output.warn(format!(
                "lock {unreadable} cannot be read: prune and repair will refuse to work; \
                 'lifeboat unlock --remove-all' removes it when nothing works on the repository"
            ));
        }
        Ok(Locked {
            repository,
            lock: Some(lock),
        })
    }

    /// Like [`Context::lock`], for commands that make room: when the place is full, what was held
    /// ready for them is freed first.
    pub(crate) fn lock_to_make_room<'a>(
        &self,
        repository: &'a Repository,
        mode: LockMode,
    ) -> Result<Locked<'a>> {
        match self.lock(repository, mode) {
            Err(error) if error.is_full() => {
                self.give_up_reserve(repository, error)?;
                self.lock(repository, mode)
            }
            locked => locked,
        }
    }

    /// Frees what was held ready for a full place; fails with `full` when there is nothing.
    pub(crate) fn give_up_reserve(&self, repository: &Repository, full: Error) -> Result<()> {
        if reserve::give_up(repository)? {
            return self.output.tell("no space left: using the reserve");
        }
        Err(full.add(
            "; nothing is held in reserve there: free 1 MiB by other means, \
             then run 'lifeboat prune --instant'",
        ))
    }

    /// Holds room for the day the place is full; without room a warning is all there is.
    pub(crate) fn hold_reserve(&self, repository: &Repository) {
        if let Err(error) = reserve::hold(repository) {
            let error = Error::from(error);
            self.output.warn(format!("{error}"));
        }
    }

    /// Loads the index with progress.
    pub(crate) fn load_index(&self, repository: &Repository) -> Result<Index> {
        let _display = self.show_progress()?;
        Ok(repository.load_index()?)
    }

    /// Loads it with progress, to read and store nothing.
    pub(crate) fn load_index_to_read(&self, repository: &Repository) -> Result<Index> {
        let _display = self.show_progress()?;
        Ok(repository.load_index_to_read()?)
    }

    /// How blobs are written: arguments before the repository's settings.
    pub(crate) fn write_options(&self, repository: &Repository) -> Result<WriteOptions> {
        let mut options = WriteOptions {
            is_rechecked: self.global.recheck,
            ..Default::default()
        };
        if let Some(settings) = &repository.config().settings {
            options.pack_bytes = settings.pack_size as usize;
        }
        let configured = self.configured_writing()?;
        let typed = self.global.pack_size.as_deref();
        let pack_size = typed
            .map(str::parse)
            .transpose()?
            .map(|ByteCount(bytes)| bytes);
        if let Some(bytes) = pack_size.or(configured.pack_size) {
            if !(4 << 20..=128 << 20).contains(&bytes) {
                return Err(Error::usage("the pack size must be between 4M and 128M"));
            }
            options.pack_bytes = bytes as usize;
        }
        let from_environment = std::env::var("RESTIC_COMPRESSION").ok();
        let compression = self.global.compression.clone();
        let compression = compression.or(configured.compression).or(from_environment);
        if let Some(text) = &compression {
            options.level = parse_compression(text)?;
        }
        Ok(options)
    }

    /// The repository's chunk sizes for small disks.
    pub(crate) fn chunk_sizes(&self, repository: &Repository) -> ChunkSizes {
        let settings = repository.config().settings.as_ref();
        settings
            .and_then(|s| ChunkSizes::new(s.chunk_size_min, s.chunk_size_gap, s.chunk_size_max))
            .unwrap_or(ChunkSizes::DEFAULT)
    }
}

/// restic's words for compression, and zstd's levels.
fn parse_compression(text: &str) -> Result<Option<i32>> {
    match text {
        "off" => Ok(None),
        "auto" => Ok(Some(3)),
        "fastest" => Ok(Some(1)),
        "better" => Ok(Some(7)),
        "max" => Ok(Some(19)),
        _ => match text.parse::<i32>() {
            Ok(level @ 1..=19) => Ok(Some(level)),
            _ => Err(ParseError::new(
                "compression",
                text,
                "write off, auto, fastest, better, max, or a level from 1 to 19",
            )
            .into()),
        },
    }
}

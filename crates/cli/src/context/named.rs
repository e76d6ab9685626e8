//! What `@NAME` stands for: entries of the configuration.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use lifeboat_config::{Config, Loaded, PolicyEntry, RepositoryEntry, nearest};
use lifeboat_control::JobText;
use lifeboat_model::ErrorKind;
use lifeboat_repository::Repository;

use super::{Context, Password};
use crate::args::{FromArguments, GlobalArguments, PlatformArguments};
use crate::configuration;
use crate::error::{Error, Result};

/// Where machines are when nobody says it.
const USUAL_PLATFORM: &str = "qemu:///system";

/// The configuration, once it was needed.
#[derive(Clone, Default)]
pub(super) struct Configured(OnceLock<Arc<Loaded<JobText>>>);

/// How blobs are written.
#[derive(Default)]
pub(super) struct Writing {
    pub(super) compression: Option<String>,
    pub(super) pack_size: Option<u64>,
}

impl Context {
    fn configured(&self) -> Result<&Loaded<JobText>> {
        if let Some(loaded) = self.configured.0.get() {
            return Ok(loaded);
        }
        let loaded = Arc::new(configuration::load(
            &self.global.config,
            self.wiring.check_platform,
        )?);
        Ok(self.configured.0.get_or_init(|| loaded))
    }

    /// An entry by its name. What is wrong elsewhere in the configuration does not matter.
    fn entry<'a, T>(
        &'a self,
        (table, what): (&str, &str),
        name: &str,
        entries: impl Fn(&'a Config<JobText>) -> &'a std::collections::BTreeMap<String, T>,
    ) -> Result<&'a T> {
        let loaded = self.configured()?;
        let file = self.global.config.display();
        let path = format!("{table}.{name}");
        if let Some(finding) = loaded.errors_of(&path).next() {
            let message = format!("@{name} cannot be used: {finding}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let entries = entries(&loaded.config);
        entries.get(name).ok_or_else(|| {
            let known = entries.keys().map(String::as_str);
            let next = match nearest(name, known.clone()) {
                Some(near) => format!("did you mean @{near}?"),
                None if entries.is_empty() => format!("it has no {what}"),
                None => format!("it has: {}", known.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("there is no {what} \"{name}\" in {file}; {next}");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    fn repository_entry(&self, name: &str) -> Result<&RepositoryEntry> {
        let entry = self.entry(("repositories", "repository"), name, |it| &it.repositories)?;
        refuse_carried(name, entry.carried_over.as_deref())?;
        Ok(entry)
    }

    /// The place of the repository, from the arguments or the environment.
    pub(crate) fn place(&self) -> Result<String> {
        let written = self.written_place()?;
        match written.strip_prefix('@') {
            Some(name) => Ok(self.repository_entry(name)?.place.clone()),
            None => Ok(written),
        }
    }

    /// Its password, not looked up yet.
    pub(crate) fn password(&self) -> Result<Password> {
        let usual = Password::of_repository(&self.global);
        let written = self.written_place()?;
        match written.strip_prefix('@') {
            Some(name) => {
                let source = self.repository_entry(name)?.password.clone();
                Ok(usual.with_source(source))
            }
            None => Ok(usual),
        }
    }

    /// How the configuration says that blobs are written; nothing for a place that was typed.
    pub(super) fn configured_writing(&self) -> Result<Writing> {
        let written = self.written_place()?;
        let Some(name) = written.strip_prefix('@') else {
            return Ok(Writing::default());
        };
        let entry = self.repository_entry(name)?;
        Ok(Writing {
            compression: entry.compression.clone(),
            pack_size: entry.pack_size,
        })
    }

    /// As many threads as the configuration says for the repository, unless it was typed. What is
    /// wrong there is told by whoever opens it.
    pub(super) fn with_configured_threads(mut self) -> Self {
        let name = self.global.repository.as_deref();
        let name = name.and_then(|it| it.strip_prefix('@'));
        if self.global.threads.is_none()
            && let Some(name) = name
            && let Ok(entry) = self.repository_entry(name)
            && let Some(threads) = entry.threads
        {
            self.environment.threads = threads as usize;
        }
        self
    }

    /// Opens the repository that is read from.
    pub(crate) fn open_source(&self, place: &str, from: &FromArguments) -> Result<Repository> {
        let file = from.from_password_file.clone();
        let usual = Password::of_source(file, from.from_password_command.clone());
        let Some(name) = place.strip_prefix('@') else {
            return self.open_at(place, &usual);
        };
        let entry = self.repository_entry(name)?;
        self.open_at(&entry.place, &usual.with_source(entry.password.clone()))
    }

    /// The address of the platform: what was typed, else the environment's, else the usual one.
    pub(crate) fn platform_uri(&self, arguments: &PlatformArguments) -> Result<String> {
        let of_environment = || std::env::var("LIFEBOAT_PLATFORM").ok();
        let written = arguments.platform.clone().or_else(of_environment);
        let written = written.unwrap_or_else(|| USUAL_PLATFORM.to_owned());
        let Some(name) = written.strip_prefix('@') else {
            return Ok(written);
        };
        let entry = self.entry(("platforms", "platform"), name, |it| &it.platforms)?;
        refuse_carried(name, entry.carried_over.as_deref())?;
        Ok(entry.uri.clone())
    }

    /// What a job of the configuration says of captures.
    pub(crate) fn job_text(&self, name: &str) -> Result<JobText> {
        let job = self.entry(("jobs", "job"), name, |it| &it.jobs)?;
        refuse_carried(name, job.carried_over.as_deref())?;
        Ok(job.capture.clone())
    }

    /// The policy of a job of the configuration.
    ///
    /// Errors: `Invalid` if it has none.
    pub(crate) fn policy_of_job(&self, name: &str) -> Result<&PolicyEntry> {
        let job = self.entry(("jobs", "job"), name, |it| &it.jobs)?;
        refuse_carried(name, job.carried_over.as_deref())?;
        let Some(policy) = &job.policy else {
            let message = format!("job \"{name}\" has no policy: nothing says what is kept");
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        self.entry(("policies", "policy"), policy, |it| &it.policies)
    }

    /// Jobs of the configuration whose machines are on the platform `@NAME`, with what they say.
    pub(crate) fn jobs_on(&self, platform: &str) -> Result<Vec<(String, JobText)>> {
        self.entry(("platforms", "platform"), platform, |it| &it.platforms)?;
        let jobs = &self.configured()?.config.jobs;
        let jobs = jobs
            .iter()
            .filter(|(_, job)| job.platform == platform && job.carried_over.is_none());
        Ok(jobs
            .map(|(name, job)| (name.clone(), job.capture.clone()))
            .collect())
    }

    /// The platform of a job, if both are configured here.
    pub(crate) fn platform_of_job(&self, name: &str) -> Option<String> {
        let job = self.configured().ok()?.config.jobs.get(name)?;
        Some(job.platform.clone())
    }

    /// The file of the configuration.
    pub(crate) fn configuration_path(&self) -> PathBuf {
        self.global.config.clone()
    }

    /// Where a job of the configuration has its machines from, and where they go: both as
    /// `@NAME`.
    pub(crate) fn ends_of_job(&self, name: &str) -> Result<(String, String)> {
        let job = self.entry(("jobs", "job"), name, |it| &it.jobs)?;
        Ok((format!("@{}", job.platform), format!("@{}", job.repository)))
    }

    /// The same command with a repository, unless one was typed.
    pub(crate) fn with_repository(&self, place: String) -> Self {
        let mut global = self.global.clone();
        if global.repository.is_none() && global.repository_file.is_none() {
            global.repository = Some(place);
        }
        self.with_global(global).with_configured_threads()
    }

    /// The same command with other words.
    pub(crate) fn with_global(&self, global: GlobalArguments) -> Self {
        Self {
            global,
            output: self.output,
            environment: self.environment.clone(),
            wiring: self.wiring,
            configured: self.configured.clone(),
        }
    }
}

fn refuse_carried(name: &str, mark: Option<&str>) -> Result<()> {
    match mark {
        None => Ok(()),
        Some(mark) => {
            let message = format!("@{name} was carried over and cannot be used: {mark}");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

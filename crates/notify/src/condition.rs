//! What people are told about: something that holds since a moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Somebody should look within days.
    Warning,
    /// Somebody must act now.
    Critical,
}

impl Severity {
    /// The word for lists and subjects.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a condition is about; routes select by it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// The site, as in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

impl Subject {
    /// What it is about, in words: `machine web01, job nightly`; empty for nothing in particular.
    pub(crate) fn words(&self) -> String {
        let names = [
            ("machine", &self.machine),
            ("repository", &self.repository),
            ("job", &self.job),
            ("site", &self.site),
        ];
        let words = names
            .into_iter()
            .filter_map(|(what, name)| Some(format!("{what} {}", name.as_deref()?)));
        words.collect::<Vec<_>>().join(", ")
    }

    /// The one name that says most: machine, repository, job or site.
    pub fn name(&self) -> Option<&str> {
        let names = [&self.machine, &self.repository, &self.job, &self.site];
        names.into_iter().find_map(|name| name.as_deref())
    }
}

/// Something to do next.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remedy {
    /// What for, in a few words: `back it up now`.
    pub text: String,
    /// The command that does it.
    pub command: String,
}

/// Something that holds since a moment, until it is cleared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Names it for as long as it holds; with `since` it names one time that it held.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    #[serde(default)]
    pub subject: Subject,
    /// One sentence: what is wrong.
    pub text: String,
    /// What more is known, in lines: the end of a log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// What to do, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
    /// When it began.
    pub since: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<Timestamp>,
    /// Where to read more: a page of the dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Somebody takes care of a condition: nobody else needs to be woken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The condition's key.
    pub key: String,
    /// When; counts for the condition that held then.
    pub at: Timestamp,
    /// Who.
    pub by: String,
}

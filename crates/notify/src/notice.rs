//! One message to one target.

mod page;
mod text;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Condition, Remedy, Severity};

/// One message to one target: a value that every transport writes in its own way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for every attempt to deliver it: receivers drop what they have already.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// Who sends it, as in `lifeboat berlin`.
    pub label: String,
    /// Who gets it.
    pub target: String,
    /// The worst that it tells.
    pub severity: Severity,
    /// The route that it took; empty for runs, digests and tests.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// 0 for the route's own targets, then the levels of its escalation from 1.
    #[serde(default)]
    pub level: usize,
    /// The dashboard, where people reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What it tells.
    pub content: Content,
}

/// What a notice tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// Conditions that began, go on or ended.
    Conditions {
        /// The worst first; all critical and all resolved ones are here.
        items: Vec<Item>,
        /// How many more there are, none of them critical.
        more: usize,
        /// How many more came and went while notices were held back, none of them critical.
        missed: usize,
    },
    /// A run begins.
    RunBegan(Run),
    /// A run has ended.
    RunEnded(Run),
    /// The day's summary.
    Digest(Digest),
    /// Somebody tries whether notices arrive.
    Test,
}

/// One condition in a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What happened to it.
    pub event: Event,
    /// The condition as it was known then.
    pub condition: Condition,
    /// Who takes care of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
}

/// What happened to a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It began.
    Began,
    /// Nobody of the levels before acknowledged it in time.
    Escalated,
    /// It still holds, and nobody acknowledged it.
    Continues,
    /// It ended.
    Resolved,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Success,
    /// Well, with something to look at.
    Warning,
    /// Not.
    Failure,
}

/// A run, for those who want to hear of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The job it carries out; of what has none in the configuration, a name of its own.
    pub job: String,
    /// What it is, in words: `job web`, `restore of web01 (point of 2026-03-01 09:59 UTC)`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How it ended; none while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The exit code of `lifeboat run` for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The machines and repositories whose part of it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// What there is to tell, in lines; the end of the log is the last of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What to do, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The summary of a day.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// One sentence that says whether all is well.
    pub summary: String,
    /// Whether somebody must act.
    #[serde(default)]
    pub severity: Severity,
    /// Tables of names and values.
    #[serde(default)]
    pub sections: Vec<Section>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A table of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Section {
    /// What its rows are.
    pub title: String,
    /// Names and values.
    pub rows: Vec<(String, String)>,
}

impl Run {
    /// How bad its end is.
    pub(crate) fn severity(&self) -> Severity {
        match self.outcome {
            None | Some(Outcome::Success) => Severity::Info,
            Some(Outcome::Warning) => Severity::Warning,
            Some(Outcome::Failure) => Severity::Critical,
        }
    }
}

impl Notice {
    /// A notice that tries whether notices arrive.
    pub fn test(label: &str, target: &str, at: Timestamp) -> Self {
        Self {
            id: format!("test-{:x}", at.as_nanosecond()),
            at,
            label: label.to_owned(),
            target: target.to_owned(),
            severity: Severity::Info,
            route: String::new(),
            level: 0,
            link: None,
            content: Content::Test,
        }
    }

    /// Its conditions; none unless it tells of conditions.
    pub fn items(&self) -> &[Item] {
        match &self.content {
            Content::Conditions { items, .. } => items,
            _ => &[],
        }
    }

    /// Whether all that it tells is over.
    pub fn is_resolved(&self) -> bool {
        let is_over = |item: &Item| item.condition.cleared.is_some();
        !self.items().is_empty() && self.items().iter().all(is_over)
    }

    /// One line for a subject, without control characters, at most 200 characters.
    pub fn title(&self) -> String {
        text::title(self)
    }

    /// The whole as plain text; lines end with `\n`.
    pub fn plain(&self) -> String {
        text::body(self)
    }

    /// The whole as a small HTML page that loads nothing.
    pub fn html(&self) -> String {
        page::page(self)
    }
}

//! The settings of other programs as the text of a configuration.
//!
//! Nothing is dropped: what has no meaning here stands in the text with a mark, and is told.

mod draft;
mod lines;
mod located;
mod opennebula;
mod restic;
mod secrets;
mod variables;

use std::str::FromStr;

use lifeboat_model::{ParseError, Secret};
use serde::de::DeserializeOwned;

use crate::finding::{Finding, Severity, Spot};
use crate::read::{SourceFile, read};
use draft::Draft;

/// Limits: bytes of a file, and machines in it.
const BYTES_MAX: usize = 8 << 20;
const MACHINES_MAX: usize = 20_000;

/// Whose settings they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// The variables of a program for oVirt: JSON.
    Variables,
    /// Variables that restic reads, as a shell sets them.
    ResticEnvironment,
    /// A datastore of OpenNebula: a template, or XML.
    OpenNebula,
}

/// A configuration that was made of another program's settings.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its text.
    pub text: String,
    /// Secrets that stood in the settings: each goes into a file of its own.
    pub secrets: Vec<ImportedSecret>,
    /// What is carried over and not carried out, and what to look at.
    pub notes: Vec<Finding>,
}

/// A secret, and the file that the text names for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedSecret {
    /// The file, in the folder that the caller named.
    pub file: String,
    /// What goes into it.
    pub secret: Secret,
}

impl FromStr for ImportKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "variables" => Ok(Self::Variables),
            "restic-env" => Ok(Self::ResticEnvironment),
            "opennebula" => Ok(Self::OpenNebula),
            _ => {
                let rule = "write variables, restic-env or opennebula";
                Err(ParseError::new("kind of settings", text, rule))
            }
        }
    }
}

/// What a text seems to be.
pub fn kind_of(text: &str) -> Option<ImportKind> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with(['{', '[']) {
        let is_datastore = start[1..].trim_start().starts_with("\"DATASTORE");
        return Some(match is_datastore {
            true => ImportKind::OpenNebula,
            false => ImportKind::Variables,
        });
    }
    let capitals = text.to_ascii_uppercase();
    let is_template = ["DS_MAD", "RESTIC_SFTP_SERVER"]
        .iter()
        .any(|it| capitals.contains(it));
    if start.starts_with('<') || is_template {
        return Some(ImportKind::OpenNebula);
    }
    let is_setting = |line: &str| {
        let mut words = line.split_whitespace();
        words.any(|it| it.starts_with("RESTIC_") || it.starts_with("AWS_")) && line.contains('=')
    };
    let is_restic = text.lines().any(is_setting);
    is_restic.then_some(ImportKind::ResticEnvironment)
}

/// Makes a configuration of another program's settings; secrets are put into files below
/// `folder`. `J` is what a job says, as in [`read`].
///
/// Errors: everything that is wrong with them, each with its place; then there is no text.
pub fn import<J: DeserializeOwned>(
    source: &SourceFile,
    kind: ImportKind,
    folder: &str,
) -> Result<Imported, Vec<Finding>> {
    // Some editors put this mark before a text.
    let marked = source.text.strip_prefix('\u{feff}').map(|text| SourceFile {
        name: source.name.clone(),
        text: text.to_owned(),
    });
    let source = marked.as_ref().unwrap_or(source);
    let mut draft = Draft::new(source, folder);
    if source.text.len() > BYTES_MAX {
        draft.refuse(0, "it has more than 8 MiB, these are no settings", None);
    } else {
        match kind {
            ImportKind::Variables => variables::import(&mut draft),
            ImportKind::ResticEnvironment => restic::import(&mut draft),
            ImportKind::OpenNebula => opennebula::import(&mut draft),
        }
    }
    let imported = draft.finish()?;
    refuse_unsound::<J>(source, imported)
}

/// What was made must be a configuration: values that nobody looked at are looked at here.
fn refuse_unsound<J: DeserializeOwned>(
    source: &SourceFile,
    imported: Imported,
) -> Result<Imported, Vec<Finding>> {
    let made = SourceFile {
        name: "the configuration made of it".to_owned(),
        text: imported.text.clone(),
    };
    let loaded = read::<J>(&[made]);
    let errors = loaded.findings.into_iter();
    let errors: Vec<_> = errors
        .filter(|it| it.severity == Severity::Error)
        .map(|it| Finding {
            spot: Spot {
                file: source.name.clone(),
                line: 1,
                column: 1,
            },
            severity: Severity::Error,
            message: format!("what it says would become: {}", it.message),
            suggestion: it.suggestion,
        })
        .collect();
    match errors.is_empty() {
        true => Ok(imported),
        false => Err(errors),
    }
}

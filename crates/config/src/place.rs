//! Where backups go, and where machines are.

use std::path::PathBuf;

use crate::section::Section;

/// Where a secret is found; it never stands in the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// What a program writes; the program and its words.
    Command(Vec<String>),
    /// A credential that systemd hands over, by name.
    Credential(String),
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryEntry {
    /// Its place, as `--repo` takes it.
    pub place: String,
    /// Its password.
    pub password: SecretSource,
}

/// A platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformEntry {
    /// Its address, as `--platform` takes it.
    pub uri: String,
}

impl RepositoryEntry {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let place = section.needed("place", "place = \"/srv/backup\"");
        let password = password(&section);
        section.finish();
        Some(Self {
            place: place?,
            password: password?,
        })
    }
}

impl PlatformEntry {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let uri = section.needed("uri", "uri = \"qemu:///system\"");
        section.finish();
        Some(Self { uri: uri? })
    }
}

const PASSWORDS: &str = "write one of password_file, password_env, password_command and \
                         password_credential";

fn password(section: &Section<'_>) -> Option<SecretSource> {
    let file = section.text("password_file").map(PathBuf::from);
    let variable = section.text("password_env");
    let command = section.texts("password_command");
    let credential = section.text("password_credential");
    let sources = [
        file.map(SecretSource::File),
        variable.map(SecretSource::Environment),
        (!command.is_empty()).then_some(SecretSource::Command(command)),
        credential.map(SecretSource::Credential),
    ];
    let mut found: Vec<_> = sources.into_iter().flatten().collect();
    if section.holds("password") {
        let message = "secrets never stand here, others could read them";
        section.refuse_with("password", message, PASSWORDS);
        return None;
    }
    match found.len() {
        1 => found.pop(),
        0 => {
            section.refuse_with("password_file", "there is no password", PASSWORDS);
            None
        }
        _ => {
            section.refuse_with("password_file", "there are several passwords", PASSWORDS);
            None
        }
    }
}

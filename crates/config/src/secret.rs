//! Where secrets are found.

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

/// A value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// It stands there, everybody may know it.
    Plain(String),
    /// It is found elsewhere.
    Secret(SecretSource),
}

/// The settings that say where one secret is.
pub(crate) struct SecretKeys {
    plain: &'static str,
    file: &'static str,
    environment: &'static str,
    command: &'static str,
    credential: &'static str,
}

pub(crate) const PASSWORD: SecretKeys = SecretKeys {
    plain: "password",
    file: "password_file",
    environment: "password_env",
    command: "password_command",
    credential: "password_credential",
};

pub(crate) const URL: SecretKeys = SecretKeys {
    plain: "url",
    file: "url_file",
    environment: "url_env",
    command: "url_command",
    credential: "url_credential",
};

pub(crate) const SIGNING_KEY: SecretKeys = SecretKeys {
    plain: "signing_key",
    file: "signing_key_file",
    environment: "signing_key_env",
    command: "signing_key_command",
    credential: "signing_key_credential",
};

pub(crate) const VALUE: SecretKeys = SecretKeys {
    plain: "value",
    file: "value_file",
    environment: "value_env",
    command: "value_command",
    credential: "value_credential",
};

impl SecretKeys {
    /// Where a secret is that may not be there at all; a plain one is refused.
    pub(crate) fn read(&self, section: &Section<'_>) -> Option<SecretSource> {
        if section.holds(self.plain) {
            // The other ways are known, even where they are not looked at.
            self.sources(section);
            let message = "secrets never stand here, others could read them";
            section.refuse_with(self.plain, message, &self.ways(false));
            return None;
        }
        let mut found = self.sources(section);
        if found.len() > 1 {
            let message = format!("there are several {}s", self.plain);
            section.refuse_with(self.file, &message, &self.ways(false));
            return None;
        }
        found.pop()
    }

    /// Where a secret is that must be there.
    pub(crate) fn read_needed(&self, section: &Section<'_>) -> Option<SecretSource> {
        let found = self.read(section);
        if found.is_none() && !section.holds(self.plain) && self.is_absent(section) {
            let message = format!("there is no {}", self.plain);
            section.refuse_with(self.file, &message, &self.ways(false));
        }
        found
    }

    /// A value that must be there, plain or elsewhere.
    pub(crate) fn read_value(&self, section: &Section<'_>) -> Option<ValueSource> {
        let plain = section.text(self.plain).map(ValueSource::Plain);
        let sources = self.sources(section);
        let others = sources.into_iter().map(ValueSource::Secret);
        let mut found: Vec<_> = plain.into_iter().chain(others).collect();
        let message = match found.len() {
            1 => return found.pop(),
            0 => format!("there is no {}", self.plain),
            _ => format!("there are several {}s", self.plain),
        };
        section.refuse_with(self.plain, &message, &self.ways(true));
        None
    }

    fn sources(&self, section: &Section<'_>) -> Vec<SecretSource> {
        let file = section.text(self.file).map(PathBuf::from);
        let variable = section.text(self.environment);
        let command = section.texts(self.command);
        let credential = section.text(self.credential);
        let sources = [
            file.map(SecretSource::File),
            variable.map(SecretSource::Environment),
            (!command.is_empty()).then_some(SecretSource::Command(command)),
            credential.map(SecretSource::Credential),
        ];
        sources.into_iter().flatten().collect()
    }

    fn is_absent(&self, section: &Section<'_>) -> bool {
        let keys = [self.file, self.environment, self.command, self.credential];
        !keys.into_iter().any(|key| section.holds(key))
    }

    fn ways(&self, with_plain: bool) -> String {
        let Self {
            plain,
            file,
            environment,
            command,
            credential,
        } = self;
        let plain = if with_plain {
            format!("{plain}, ")
        } else {
            String::new()
        };
        format!("write one of {plain}{file}, {environment}, {command} and {credential}")
    }
}

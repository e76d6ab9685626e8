//! `lifeboat key`

use std::path::PathBuf;

use lifeboat_backend::FileKind;
use lifeboat_format::{KeyId, ScryptCost};
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_repository::keys;
use lifeboat_repository::{LockMode, Repository};
use serde::Serialize;

use crate::args::KeyCommand;
use crate::context::{Context, Password, ask_new};
use crate::error::{Error, Result};
use crate::tables::{Table, moment};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyLine {
    current: bool,
    id: String,
    user_name: String,
    host_name: String,
    created: String,
}

/// Manages the passwords of the repository.
pub(crate) fn run(context: &Context, command: &KeyCommand) -> Result<u8> {
    let repository = context.open()?;
    let mode = match command {
        KeyCommand::Passwd { .. } | KeyCommand::Remove { .. } => LockMode::Exclusive,
        KeyCommand::List | KeyCommand::Add { .. } => LockMode::Shared,
    };
    let _locked = context.lock(&repository, mode)?;
    match command {
        KeyCommand::List => list(context, &repository),
        KeyCommand::Add { new_password_file } => {
            let id = keys::add(
                &repository,
                &new_password(new_password_file)?,
                ScryptCost::default(),
            )?;
            context.output.result(format!("added key {}", id.short()))?;
            Ok(0)
        }
        KeyCommand::Remove { key } => {
            // By name alone: also a damaged key can be removed.
            let id = find(&repository, key)?;
            keys::remove(&repository, id)?;
            context
                .output
                .result(format!("removed key {}", id.short()))?;
            Ok(0)
        }
        KeyCommand::Passwd { new_password_file } => {
            let password = new_password(new_password_file)?;
            let id = keys::change(&repository, &password, ScryptCost::default())?;
            context.output.result(format!(
                "changed the password: the key is now {}",
                id.short()
            ))?;
            Ok(0)
        }
    }
}

fn new_password(file: &Option<PathBuf>) -> Result<Secret> {
    match file {
        Some(path) => Password::in_file(path.clone()).get_new(),
        None => ask_new(),
    }
}

fn find(repository: &Repository, prefix: &str) -> Result<KeyId> {
    let all = repository.list(FileKind::Key)?;
    let mut matches = all.iter().filter(|key| key.id.starts_with(prefix));
    match (matches.next(), matches.next()) {
        (Some(one), None) => Ok(one.id.into()),
        (None, _) => Err(Error::new(
            ErrorKind::NotFound,
            format!("no key starts with {prefix}"),
        )),
        _ => Err(Error::usage(format!(
            "several keys start with {prefix}: write more digits"
        ))),
    }
}

fn list(context: &Context, repository: &Repository) -> Result<u8> {
    let all = keys::list(repository)?;
    if context.output.is_json() {
        let lines: Vec<KeyLine> = all
            .iter()
            .map(|key| KeyLine {
                current: key.is_current,
                id: key.id.to_string(),
                user_name: key.file.username.clone(),
                host_name: key.file.hostname.clone(),
                created: key.file.created.to_string(),
            })
            .collect();
        context.output.json(&lines)?;
        return Ok(0);
    }
    let mut table = Table::new(&["", "ID", "User", "Host", "Created"]);
    for key in &all {
        table.row([
            if key.is_current {
                "*".to_owned()
            } else {
                String::new()
            },
            key.id.short(),
            key.file.username.clone(),
            key.file.hostname.clone(),
            moment(key.file.created.timestamp()),
        ]);
    }
    table
        .lines()
        .iter()
        .try_for_each(|line| context.output.result(line))?;
    Ok(0)
}

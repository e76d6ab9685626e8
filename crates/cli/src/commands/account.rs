//! `lifeboat user` and `lifeboat token`

use std::path::Path;

use lifeboat_catalog::Role;
use lifeboat_config::SecretSource;
use lifeboat_model::{ErrorKind, Secret};
use serde::Serialize;

use crate::args::{TokenAddArguments, TokenCommand, UserAddArguments, UserCommand};
use crate::configuration::resolve;
use crate::context::{Context, ask_new};
use crate::error::{Error, Result};
use crate::service::Service;
use crate::tables::{Table, moment, shown};

/// Makes, lists and removes users.
pub(crate) fn user(context: &Context, command: &UserCommand) -> Result<u8> {
    let service = Service::open(context)?;
    match command {
        UserCommand::Add(arguments) => add_user(context, &service, arguments),
        UserCommand::List => list_users(context, &service),
        UserCommand::Remove { name } => {
            written_down(context, &service, ("user remove", name, ""), || {
                Ok(service.catalog.remove_user(name)?)
            })?;
            context
                .output
                .result(format!("user {} is gone", shown(name)))?;
            Ok(0)
        }
    }
}

/// Makes, lists and removes tokens.
pub(crate) fn token(context: &Context, command: &TokenCommand) -> Result<u8> {
    let service = Service::open(context)?;
    match command {
        TokenCommand::Add(arguments) => add_token(context, &service, arguments),
        TokenCommand::List => list_tokens(context, &service),
        TokenCommand::Remove { id } => {
            written_down(context, &service, ("token remove", id, ""), || {
                Ok(service.catalog.remove_token(id)?)
            })?;
            context
                .output
                .result(format!("token {} is gone", shown(id)))?;
            Ok(0)
        }
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

/// Does something and writes into the audit log that it was done.
pub(super) fn written_down(
    context: &Context,
    service: &Service,
    (action, subject, details): (&str, &str, &str),
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // What cannot be written down is not begun.
    service.audit_key(context)?;
    let done = work();
    service.write_down(context, (action, subject, details), done.is_ok())?;
    done
}

/// The password of somebody who signs in: from a file, or asked for twice.
fn new_password(from: Option<&Path>) -> Result<String> {
    let secret = match from {
        None => ask_new()?,
        Some(path) if path == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin().read_line(&mut text)?;
            Secret::new(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec())
        }
        Some(path) => resolve(&SecretSource::File(path.to_owned()))?,
    };
    let text = std::str::from_utf8(secret.expose());
    text.map(str::to_owned)
        .map_err(|_| invalid("a password is text".to_owned()))
}

fn add_user(context: &Context, service: &Service, arguments: &UserAddArguments) -> Result<u8> {
    let role: Role = arguments.role.parse()?;
    let password = new_password(arguments.password_from.as_deref())?;
    let (now, entropy) = (service.catalog.now(), &*context.environment.entropy);
    let make = context.wiring.accounts.new_user;
    let user = make(&arguments.name, &password, role, now, entropy).map_err(invalid)?;
    let did = ("user add", arguments.name.as_str(), role.as_str());
    written_down(context, service, did, || {
        Ok(service.catalog.set_user(&user)?)
    })?;
    context
        .output
        .result(format!("user {} may come in as {role}", shown(&user.name)))?;
    Ok(0)
}

fn list_users(context: &Context, service: &Service) -> Result<u8> {
    let users = service.catalog.users()?;
    let mut table = Table::new(&["User", "Role", "Since", ""]);
    for user in &users {
        if context.output.is_json() {
            let line = UserLine {
                name: &user.name,
                role: user.role,
                is_enabled: user.is_enabled,
                created: user.created,
            };
            context.output.message("user", &line)?;
        }
        table.row([
            shown(&user.name),
            user.role.to_string(),
            moment(user.created),
            if user.is_enabled { "" } else { "shut out" }.to_owned(),
        ]);
    }
    print(context, &table)
}

#[derive(Serialize)]
struct UserLine<'a> {
    name: &'a str,
    role: Role,
    is_enabled: bool,
    created: jiff::Timestamp,
}

fn print(context: &Context, table: &Table) -> Result<u8> {
    if !context.output.is_json() {
        for line in table.lines() {
            context.output.result(line)?;
        }
    }
    Ok(0)
}

fn add_token(context: &Context, service: &Service, arguments: &TokenAddArguments) -> Result<u8> {
    let role: Role = arguments.role.parse()?;
    let wanted = crate::WantedToken {
        title: arguments.title.clone(),
        role,
        scopes: arguments.scope.clone(),
        days: arguments.days,
        created_by: service.who(),
    };
    let environment = &context.environment;
    let make = context.wiring.accounts.new_token;
    let made = make(&wanted, &*environment.clock, &*environment.entropy);
    let (token, secret) = made.map_err(invalid)?;
    let did = ("token add", token.id.as_str(), token.title.as_str());
    written_down(context, service, did, || {
        Ok(service.catalog.set_token(&token)?)
    })?;
    context.output.tell(format!(
        "token {} as {role}; it is shown once and kept nowhere:",
        token.id
    ))?;
    context.output.result(secret)?;
    Ok(0)
}

fn list_tokens(context: &Context, service: &Service) -> Result<u8> {
    let tokens = service.catalog.tokens()?;
    let mut table = Table::new(&["Token", "For", "Role", "Until", "Used", "Only"]);
    for token in &tokens {
        if context.output.is_json() {
            let line = TokenLine {
                id: &token.id,
                title: &token.title,
                role: token.role,
                expires: token.expires,
                used: token.used,
                scopes: &token.scopes,
            };
            context.output.message("token", &line)?;
        }
        table.row([
            token.id.clone(),
            shown(&token.title),
            token.role.to_string(),
            token.expires.map_or_else(|| "for ever".to_owned(), moment),
            token.used.map_or_else(|| "never".to_owned(), moment),
            token.scopes.join(" "),
        ]);
    }
    print(context, &table)
}

#[derive(Serialize)]
struct TokenLine<'a> {
    id: &'a str,
    title: &'a str,
    role: Role,
    expires: Option<jiff::Timestamp>,
    used: Option<jiff::Timestamp>,
    scopes: &'a [String],
}

//! What `lifeboat serve` and the accounts of its API are made of.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use lifeboat_catalog::{Role, Token, User};
use lifeboat_cli::{AnswerCommands, ConfigTold, Encryption, ServeParts, WantedToken};
use lifeboat_model::{CancelToken, Clock, Entropy, ErrorKind};
use lifeboat_scheduler::Node;
use lifeboat_server::{Limits, Server, ServerOptions, State, StateParts, UPLOAD_MAX};

/// The program's commands, as the server asks for them.
struct Commands(AnswerCommands);

impl lifeboat_server::Commands for Commands {
    fn run(
        &self,
        words: &[OsString],
        cancel: &CancelToken,
        take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
    ) -> Result<(), (ErrorKind, String)> {
        self.0.run(words, cancel, take)
    }

    fn folder(&self) -> PathBuf {
        self.0.folder().to_owned()
    }
}

/// Answers requests until `stop` is set.
pub(crate) fn serve(parts: ServeParts, stop: &CancelToken) -> Result<(), (ErrorKind, String)> {
    let io = |text: String| (ErrorKind::Io, text);
    let state = State::new(StateParts {
        node: parts.node,
        clock: parts.clock,
        entropy: parts.entropy,
        audit_key: parts.audit_key,
        is_metrics_open: parts.is_metrics_open,
        login: parts.login,
        config: Vec::new(),
        commands: Some(Arc::new(Commands(parts.commands))),
        upload_max: UPLOAD_MAX,
    })
    .map_err(io)?;
    let options = ServerOptions {
        listen: vec![parts.listen],
        encryption: match parts.encryption {
            Encryption::Own(folder) => lifeboat_server::Encryption::Own {
                folder,
                names: parts.public_names,
            },
            Encryption::Files(certificate, key) => {
                lifeboat_server::Encryption::Files { certificate, key }
            }
            Encryption::None => lifeboat_server::Encryption::None,
        },
        limits: Limits::default(),
        say: parts.say,
    };
    let shown = parts.shown;
    let shows = Arc::clone(&state);
    // Ends with the other end of the channel.
    thread::spawn(move || {
        for told in shown {
            match told {
                ConfigTold::Sound(settings, login) => {
                    shows.set_login(login);
                    shows.set_config(settings);
                }
                ConfigTold::Broken(text, findings) => shows.set_broken_config(text, findings),
            }
        }
    });
    let told = |error: lifeboat_server::Error| (error.kind(), error.to_string());
    let server = Server::bind(options, state).map_err(told)?;
    server.introduce().map_err(told)?;
    (parts.ready)();
    server.run(stop).map_err(told)
}

/// All metrics as text.
pub(crate) fn metrics(node: &Node) -> Result<String, String> {
    lifeboat_server::textfile(node).map_err(|error| error.to_string())
}

/// A user of a name and a password.
pub(crate) fn new_user(
    name: &str,
    password: &str,
    role: Role,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<User, String> {
    lifeboat_server::new_user(name, password, role, now, entropy)
}

/// A token and its secret.
pub(crate) fn new_token(
    wanted: &WantedToken,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(Token, String), String> {
    let request = lifeboat_api::NewToken {
        title: wanted.title.clone(),
        role: match wanted.role {
            Role::Viewer => lifeboat_api::Role::Viewer,
            Role::Operator => lifeboat_api::Role::Operator,
            Role::Restore => lifeboat_api::Role::Restore,
            Role::Admin => lifeboat_api::Role::Admin,
            Role::Auditor => lifeboat_api::Role::Auditor,
        },
        scopes: wanted.scopes.clone(),
        days: wanted.days,
    };
    lifeboat_server::new_token(&request, &wanted.created_by, clock, entropy)
}

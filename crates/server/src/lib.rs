//! The REST API, the metrics and the pages of `lifeboat serve`.
//!
//! Takes a node with its catalog and answers over HTTPS: who may ask what stands in one table,
//! every change is written into the audit log.
//! Does not decide what is due, and does not carry anything out: it asks the node.
//!
//! Source: DESIGN, row 5.

mod accounts;
mod act;
pub mod assets;
mod authority;
mod browse;
mod commands;
mod connection;
mod error;
mod events;
mod export;
mod extract;
mod guard;
mod limiter;
mod login;
mod look;
mod lookup;
mod metrics;
mod openapi;
pub mod pages;
mod paging;
mod people;
mod recovery;
mod refusal;
mod repository_catalog;
mod routes;
mod serve;
mod shapes;
mod simulation;
mod state;
mod tls;
mod visitor;

pub use accounts::{new_digest, new_token, new_user};
pub use commands::Commands;
pub use error::{Error, Result};
pub use metrics::textfile;
pub use openapi::openapi;
pub use routes::matrix;
pub use serve::{Limits, Server, ServerOptions};
pub use state::{BrokenConfig, State, StateParts, UPLOAD_MAX};
pub use tls::Encryption;

//! `lifeboat chain`

mod checkpoints;
mod export;
mod folder;
mod import;
mod merge;
mod plan;
mod sparing;

use std::path::Path;

use lifeboat_disk::{BackingPolicy, OpenOptions};

use crate::args::ChainCommand;
use crate::context::Context;
use crate::error::Result;

/// Longest chain of backing files that is followed.
const BACKING_DEPTH_MAX: u32 = 64;

/// Runs one of the chain's commands.
pub(crate) fn run(context: &Context, command: &ChainCommand) -> Result<u8> {
    match command {
        ChainCommand::Import {
            folder,
            machine,
            disk,
            dry_run,
        } => {
            let request = import::Request {
                folder,
                machine: machine.as_deref().map(str::parse).transpose()?,
                disk: disk.parse()?,
                is_dry_run: *dry_run,
            };
            import::run(context, request)
        }
        ChainCommand::Export {
            ids,
            filter,
            disk,
            target,
            compress,
        } => {
            let request = export::Request {
                ids,
                filter,
                disk: disk.parse()?,
                target,
                is_compressed: *compress,
            };
            export::run(context, &request)
        }
        ChainCommand::Merge {
            file,
            target,
            allow_backing,
            no_compress,
        } => {
            let request = merge::Request {
                file,
                target,
                allowed: allow_backing.as_deref(),
                is_compressed: !no_compress,
            };
            merge::run(context, &request)
        }
    }
}

/// Follows backing files inside `folder` only.
fn confined_to(folder: &Path) -> OpenOptions {
    OpenOptions {
        backing: BackingPolicy::Allow {
            root: Some(folder.to_owned()),
            depth_max: BACKING_DEPTH_MAX,
        },
        ..OpenOptions::default()
    }
}

/// The folder that holds a file.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

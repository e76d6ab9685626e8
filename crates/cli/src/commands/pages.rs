//! `lifeboat completions` and `lifeboat man`

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use lifeboat_model::ErrorKind;

use crate::args::{Arguments, CompletionsArguments, ManArguments};
use crate::context::Context;
use crate::error::{Error, Result};

/// Prints completions for a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "lifeboat",
        &mut script,
    );
    std::io::stdout().write_all(&script)?;
    Ok(0)
}

/// Writes a manual page for every command.
pub(crate) fn man(context: &Context, arguments: &ManArguments) -> Result<u8> {
    let command = Arguments::command();
    let Some(folder) = &arguments.folder else {
        clap_mangen::Man::new(command).render(&mut std::io::stdout())?;
        return Ok(0);
    };
    write_pages(folder, command).map_err(|e| {
        let message = format!("cannot write manual pages to {}: {e}", folder.display());
        Error::new(ErrorKind::of_io(&e), message)
    })?;
    context
        .output
        .tell(format!("wrote the manual pages to {}", folder.display()))?;
    Ok(0)
}

fn write_pages(folder: &Path, command: clap::Command) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}

//! `lifeboat catalog`

mod compare;
mod document;
mod recover;
mod rows;

use std::io::Write;
use std::path::Path;

use lifeboat_repository::{LockMode, Repository};

use crate::args::{CatalogCommand, FilterArguments};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{select, whole_file};
use document::Catalog;

/// Runs one of the catalog's commands.
pub(crate) fn run(context: &Context, command: &CatalogCommand) -> Result<u8> {
    match command {
        CatalogCommand::Export { filter, target } => export(context, filter, target.as_deref()),
        CatalogCommand::Import { catalog, dry_run } => recover::run(context, catalog, *dry_run),
        CatalogCommand::Compare { catalog } => compare::run(context, catalog),
        CatalogCommand::Move {
            from,
            password_from,
        } => rows::run(context, from, password_from.as_deref()),
    }
}

fn export(context: &Context, filter: &FilterArguments, target: Option<&Path>) -> Result<u8> {
    let repository = context.open()?;
    let catalog = of_repository(context, &repository, filter)?;
    let mut json = serde_json::to_vec_pretty(&catalog).map_err(|e| Error::usage(e.to_string()))?;
    json.push(b'\n');
    let Some(target) = target else {
        std::io::stdout().write_all(&json)?;
        return Ok(0);
    };
    whole_file::write(target, &json)?;
    if context.output.is_json() {
        let totals = &catalog.totals;
        context.output.message("summary", totals)?;
        return Ok(0);
    }
    context.output.result(format!(
        "wrote {} snapshots of {} machines to {}",
        catalog.totals.snapshots,
        catalog.totals.machines,
        target.display()
    ))?;
    Ok(0)
}

fn of_repository(
    context: &Context,
    repository: &Repository,
    filter: &FilterArguments,
) -> Result<Catalog> {
    let _locked = context.lock(repository, LockMode::Shared)?;
    let chosen = select::many(repository, &[], filter)?;
    let index = context.load_index(repository)?;
    let warn = |text: String| context.output.warn(text);
    document::build(repository, &index, &chosen, &warn)
}

//! `lifeboat catalog move`: the rows of the service in another database.

use std::path::Path;
use std::sync::Arc;

use lifeboat_catalog::{Catalog, CatalogPlace};
use lifeboat_model::{ErrorKind, Secret};
use serde::Serialize;

use crate::context::Context;
use crate::error::{EXIT_DAMAGED, Error, Result};
use crate::service::{Service, audit_head};

#[derive(Serialize)]
struct Summary {
    rows: u64,
    audit_entries: u64,
}

/// Takes every row over, and looks at every seal of the audit log where it is now.
pub(super) fn run(context: &Context, from: &str, password_from: Option<&Path>) -> Result<u8> {
    let said = |error: lifeboat_catalog::Error| Error::new(error.kind(), error.to_string());
    let password = password_from.map(first_line).transpose()?;
    let place = CatalogPlace::parse(from, password).map_err(said)?;
    if let CatalogPlace::File(path) = &place
        && !path.exists()
    {
        let text = format!("there is no catalog {}", path.display());
        return Err(Error::new(ErrorKind::NotFound, text));
    }
    let service = Service::open(context)?;
    let clock = Arc::clone(&context.environment.clock);
    let former = Catalog::open(&place, clock).map_err(said)?;
    // Before anything is taken over: without it the log could not be judged.
    let key = service.audit_key_of(context, &former)?;
    let rows = service.catalog.take_rows_of(&former).map_err(said)?;
    let known = audit_head(&service.state);
    let report = service.catalog.verify_audit(&key, known.as_ref());
    let report = report.map_err(said)?;
    let details = format!("{rows} rows");
    service.write_down(context, ("catalog move", from, &details), true)?;
    let summary = Summary {
        rows,
        audit_entries: report.entries,
    };
    if context.output.is_json() {
        context.output.message("summary", &summary)?;
    } else {
        context.output.result(format!(
            "took {rows} rows over, {} entries of the audit log among them",
            report.entries
        ))?;
    }
    for flaw in &report.flaws {
        context.output.warn(format!("the audit log: {flaw}"));
    }
    Ok(if report.flaws.is_empty() {
        0
    } else {
        EXIT_DAMAGED
    })
}

fn first_line(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let text = format!("cannot read the password from {}: {error}", path.display());
        Error::new(ErrorKind::of_io(&error), text)
    })?;
    let line = text.lines().next().unwrap_or_default();
    Ok(Secret::new(line.as_bytes().to_vec()))
}

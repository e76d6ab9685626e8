//! `lifeboat audit`

use serde::Serialize;

use crate::args::{AuditCommand, AuditListArguments};
use crate::context::Context;
use crate::error::{EXIT_DAMAGED, Error, Result};
use crate::service::{Service, audit_head, set_audit_head};
use crate::tables::{Table, count, moment, shown};

/// Lists the audit log, or looks whether it is as it was written.
pub(crate) fn run(context: &Context, command: &AuditCommand) -> Result<u8> {
    match command {
        AuditCommand::List(arguments) => list(context, arguments),
        AuditCommand::Verify => verify(context),
    }
}

fn list(context: &Context, arguments: &AuditListArguments) -> Result<u8> {
    let service = Service::open(context)?;
    let mut entries = service.catalog.audit_entries(None, arguments.count)?;
    entries.reverse();
    if context.output.is_json() {
        entries
            .iter()
            .try_for_each(|entry| context.output.message("audit", entry))?;
        return Ok(0);
    }
    let mut table = Table::new(&[">No", "Time", "Who", "From", "Did", "To", "Done", "Details"]);
    for entry in &entries {
        table.row([
            entry.number.to_string(),
            moment(entry.at),
            shown(&entry.who),
            entry.from.clone().unwrap_or_default(),
            entry.action.clone(),
            shown(&entry.subject),
            if entry.is_done { "yes" } else { "refused" }.to_owned(),
            shown(&entry.details),
        ]);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    Ok(0)
}

#[derive(Serialize)]
struct ReportLine {
    entries: u64,
    newest: Option<i64>,
    seal: Option<String>,
    flaws: Vec<String>,
}

/// Looks at every entry.
fn verify(context: &Context) -> Result<u8> {
    let service = Service::open(context)?;
    let key = service.audit_key(context)?;
    let known = audit_head(&service.state);
    let report = service.catalog.verify_audit(&key, known.as_ref())?;
    let is_whole = report.flaws.is_empty();
    if let Some(head) = report.head.as_ref().filter(|_| is_whole) {
        // The next look misses what is cut off after this one.
        set_audit_head(&service.state, head).map_err(|error| {
            let text = format!("cannot keep the newest seal: {error}");
            Error::new(lifeboat_model::ErrorKind::of_io(&error), text)
        })?;
    }
    let flaws: Vec<String> = report.flaws.iter().map(ToString::to_string).collect();
    if context.output.is_json() {
        let line = ReportLine {
            entries: report.entries,
            newest: report.head.as_ref().map(|head| head.0),
            seal: report.head.map(|head| head.1),
            flaws,
        };
        context.output.message("audit_report", &line)?;
    } else {
        for flaw in &flaws {
            context.output.result(format!("damaged: {flaw}"))?;
        }
        if let Some((number, seal)) = &report.head {
            context
                .output
                .tell(format!("newest: entry {number}, seal {seal}"))?;
        }
        let entries = match report.entries {
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        };
        context.output.result(match is_whole {
            true => format!("{entries}, every one as it was written"),
            false => format!("{entries}, {}", count(flaws.len(), "flaw")),
        })?;
    }
    Ok(if is_whole { 0 } else { EXIT_DAMAGED })
}

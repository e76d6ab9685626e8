//! `lifeboat report`: what happened in a month, what was proved, what is to be signed.

mod checklist;
mod gather;
mod html;
mod markup;
mod month;
mod text;
mod wanted;

use std::ffi::OsStr;
use std::path::Path;

use crate::args::{ReportArguments, ReportFormat};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::service::Service;
use crate::whole_file;

use month::Month;

/// Writes the report of a month.
pub(crate) fn run(context: &Context, arguments: &ReportArguments) -> Result<u8> {
    let service = Service::open(context)?;
    let node = service.node_to_look()?;
    let now = service.catalog.now();
    let month = match &arguments.month {
        Some(text) => Month::parse(text, now)?,
        None => Month::before(now)?,
    };
    let report = gather::report(context, (&service, &node), (&month, &arguments.machines))?;
    let text = match format(context, arguments) {
        ReportFormat::Html => html::page(&report),
        ReportFormat::Text => text::lines(&report).join("\n") + "\n",
        ReportFormat::Json if arguments.output.is_none() => {
            context.output.message("report", &report)?;
            return Ok(0);
        }
        ReportFormat::Json => {
            let packed = serde_json::to_string_pretty(&report);
            packed.map_err(|error| Error::usage(error.to_string()))? + "\n"
        }
    };
    match &arguments.output {
        Some(path) => {
            whole_file::write(path, text.as_bytes())?;
            let told = format!("the report of {month} is in {}", path.display());
            context.output.tell(told)?;
        }
        None => context.output.result(text.trim_end())?,
    }
    Ok(0)
}

fn format(context: &Context, arguments: &ReportArguments) -> ReportFormat {
    let ending = arguments.output.as_deref().and_then(Path::extension);
    match arguments.format {
        Some(format) => format,
        None if context.output.is_json() => ReportFormat::Json,
        None if ending == Some(OsStr::new("html")) => ReportFormat::Html,
        None if ending == Some(OsStr::new("json")) => ReportFormat::Json,
        None => ReportFormat::Text,
    }
}

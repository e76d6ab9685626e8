//! `lifeboat config`

mod generate;
mod import;
mod wizard;

use lifeboat_config::{Finding, Loaded, Origin, Severity};
use lifeboat_control::Job;
use serde::Serialize;

use crate::args::ConfigCommand;
use crate::configuration;
use crate::context::Context;
use crate::error::{EXIT_WRONG, Error, Result};
use crate::tables::{Table, count};

#[derive(Serialize)]
struct FindingLine<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    severity: &'static str,
    message: &'a str,
    suggestion: Option<&'a str>,
}

#[derive(Serialize)]
struct ValueLine<'a> {
    path: &'a str,
    value: &'a str,
    origin: String,
}

/// Checks or shows the configuration.
pub(crate) fn run(context: &Context, command: &ConfigCommand) -> Result<u8> {
    match command {
        ConfigCommand::Validate => validate(context, &load(context)?),
        ConfigCommand::Show => show(context, &load(context)?),
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(&configuration::schema());
            let schema = schema.map_err(|e| Error::usage(e.to_string()))?;
            context.output.result(schema)?;
            Ok(0)
        }
        ConfigCommand::Generate(arguments) => generate::run(context, arguments),
        ConfigCommand::Import(arguments) => import::run(context, arguments),
    }
}

fn load(context: &Context) -> Result<Loaded<Job>> {
    configuration::load(&context.global.config, context.wiring.check_platform)
}

#[derive(Serialize)]
struct TextLine<'a> {
    text: &'a str,
}

/// Prints a configuration that was made.
fn print_text(context: &Context, text: &str) -> Result<u8> {
    match context.output.is_json() {
        true => context
            .output
            .message("configuration", &TextLine { text })?,
        false => context.output.result(text.trim_end())?,
    }
    Ok(0)
}

fn validate(context: &Context, loaded: &Loaded<Job>) -> Result<u8> {
    let mut wrong = 0;
    for finding in &loaded.findings {
        tell(context, finding)?;
        wrong += u64::from(finding.severity == Severity::Error);
    }
    if wrong > 0 {
        context.output.tell(count(wrong, "error"))?;
        return Ok(EXIT_WRONG);
    }
    let config = &loaded.config;
    context.output.tell(format!(
        "it is sound; jobs: {}, platforms: {}, repositories: {}, policies: {}",
        config.jobs.len(),
        config.platforms.len(),
        config.repositories.len(),
        config.policies.len()
    ))?;
    Ok(0)
}

fn tell(context: &Context, finding: &Finding) -> Result<()> {
    if !context.output.is_json() {
        return context.output.result(finding.to_string());
    }
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let line = FindingLine {
        file: &finding.spot.file,
        line: finding.spot.line,
        column: finding.spot.column,
        severity,
        message: &finding.message,
        suggestion: finding.suggestion.as_deref(),
    };
    context.output.message("finding", &line)
}

fn show(context: &Context, loaded: &Loaded<Job>) -> Result<u8> {
    let mut table = Table::new(&["Setting", "Value", "From"]);
    for shown in &loaded.shown {
        let origin = match &shown.origin {
            Origin::Written(spot) => spot.to_string(),
            Origin::Usual => "usual".to_owned(),
        };
        if context.output.is_json() {
            let (path, value) = (&shown.path, &shown.value);
            let line = ValueLine {
                path,
                value,
                origin,
            };
            context.output.message("setting", &line)?;
            continue;
        }
        table.row([shown.path.clone(), shown.value.clone(), origin]);
    }
    if !context.output.is_json() {
        for line in table.lines() {
            context.output.result(line)?;
        }
    }
    if loaded.is_sound() {
        return Ok(0);
    }
    validate(context, loaded)
}

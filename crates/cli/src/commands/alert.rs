//! `lifeboat alert`

use jiff::SignedDuration;
use lifeboat_catalog::{Alert, AlertSeverity};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{ADVISED_MAX, Advice, advise_all};

use super::account::written_down;
use crate::args::{AlertAcknowledgeArguments, AlertCommand, AlertListArguments};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::service::{Service, settings};
use crate::tables::{Table, moment, shown};

/// Past alerts that are listed: of so many days.
const PAST_DAYS: i64 = 90;
/// At most so many of them.
const PAST_MAX: u32 = 1000;

/// Lists alerts, and says who takes care of them.
pub(crate) fn run(context: &Context, command: &AlertCommand) -> Result<u8> {
    let service = Service::open(context)?;
    match command {
        AlertCommand::List(arguments) => list(context, &service, arguments),
        AlertCommand::Acknowledge(arguments) => acknowledge(context, &service, arguments),
    }
}

fn list(context: &Context, service: &Service, arguments: &AlertListArguments) -> Result<u8> {
    let catalog = &service.catalog;
    let alerts = match arguments.past {
        false => catalog.open_alerts()?,
        true => {
            let past = SignedDuration::from_hours(24 * PAST_DAYS);
            let since = catalog.now().checked_sub(past).unwrap_or_default();
            catalog.alerts_since(since, PAST_MAX)?
        }
    };
    if context.output.is_json() {
        alerts
            .iter()
            .try_for_each(|alert| context.output.message("alert", alert))?;
        return Ok(0);
    }
    if alerts.is_empty() {
        context.output.result("no alert is open")?;
        return Ok(0);
    }
    let mut table = Table::new(&[">No", "How bad", "Since", "Seen by", "What"]);
    for alert in &alerts {
        let seen = alert.acknowledged.as_ref();
        table.row([
            alert.id.to_string(),
            word(alert).to_owned(),
            moment(alert.since),
            seen.map_or_else(|| "nobody".to_owned(), |seen| shown(&seen.by)),
            shown(&alert.text),
        ]);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    let settings = settings(&service.loaded.config);
    let advised = advise_all(catalog, &settings, &alerts, ADVISED_MAX)?;
    for (number, advice) in &advised {
        tell_details(context, *number, advice)?;
    }
    Ok(0)
}

/// Why, and what to do, for those who asked for details.
fn tell_details(context: &Context, number: i64, advice: &Advice) -> Result<()> {
    let output = context.output;
    output.detail(format!("\nalert {number}"))?;
    if let Some(why) = &advice.why {
        output.detail(format!("  {}", shown(why)))?;
    }
    for remedy in &advice.remedies {
        output.detail(format!("  {}:", shown(&remedy.text)))?;
        output.detail(format!("    {}", shown(&remedy.command)))?;
    }
    Ok(())
}

fn word(alert: &Alert) -> &'static str {
    match (alert.cleared, alert.severity) {
        (Some(_), _) => "over",
        (None, AlertSeverity::Info) => "info",
        (None, AlertSeverity::Warning) => "warning",
        (None, AlertSeverity::Critical) => "critical",
    }
}

fn acknowledge(
    context: &Context,
    service: &Service,
    arguments: &AlertAcknowledgeArguments,
) -> Result<u8> {
    let numbers = match arguments.all {
        false => arguments.numbers.clone(),
        true => {
            let open = service.catalog.open_alerts()?;
            let unseen = open.iter().filter(|it| it.acknowledged.is_none());
            unseen.map(|it| it.id).collect()
        }
    };
    if numbers.is_empty() && !arguments.all {
        let text = "which alert? 'lifeboat alert list' shows their numbers; --all means every one";
        return Err(Error::usage(text));
    }
    for number in &numbers {
        let subject = number.to_string();
        let work = || {
            let seen = service.catalog.acknowledge(*number, &service.who());
            let next = "; 'lifeboat alert list' shows those that are open";
            seen.map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::from(error).add(next),
                _ => error.into(),
            })
        };
        written_down(context, service, ("alert acknowledge", &subject, ""), work)?;
        context
            .output
            .result(format!("alert {number} is seen; nobody else is told of it"))?;
    }
    if numbers.is_empty() {
        context.output.result("every open alert is seen already")?;
    }
    Ok(0)
}

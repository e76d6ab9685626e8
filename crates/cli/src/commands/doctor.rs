//! `lifeboat doctor`: looks for what is wrong or will be, and says what to do.
//!
//! It only looks: nothing is made, changed or removed.

mod certificate;
mod host;
mod leftovers;
mod platforms;
mod repositories;
mod secrets;
mod service;

pub(crate) use platforms::{is_this_computer, unreadable};

use lifeboat_config::{Loaded, Severity};
use lifeboat_control::Job;
use serde::Serialize;

use crate::configuration;
use crate::context::Context;
use crate::error::{EXIT_WRONG, Result};
use crate::tables::{count, shown};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Well,
    /// It could not be looked at here, or there is nothing to look at.
    Skipped,
    /// It works, and may not for long.
    Warning,
    /// It does not work.
    Wrong,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Check {
    /// What sort of check: a promise, as fields of JSON are.
    code: &'static str,
    verdict: Verdict,
    /// What it is about: a name of the configuration, a path.
    subject: String,
    seen: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Check {
    fn new(
        (code, subject): (&'static str, &str),
        verdict: Verdict,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            code,
            verdict,
            subject: subject.to_owned(),
            seen: seen.into(),
            advice: Some(advice.into()).filter(|it: &String| !it.is_empty()),
        }
    }

    fn well(about: (&'static str, &str), seen: impl Into<String>) -> Self {
        Self::new(about, Verdict::Well, seen, "")
    }

    fn skipped(about: (&'static str, &str), seen: impl Into<String>) -> Self {
        Self::new(about, Verdict::Skipped, seen, "")
    }

    fn warning(
        about: (&'static str, &str),
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(about, Verdict::Warning, seen, advice)
    }

    fn wrong(
        about: (&'static str, &str),
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(about, Verdict::Wrong, seen, advice)
    }

    fn line(&self) -> String {
        let (verdict, seen) = (self.verdict.as_str(), shown(&self.seen));
        let mut line = format!("{verdict:7}  {}", self.code);
        if !self.subject.is_empty() {
            line += &format!("  {}", shown(&self.subject));
        }
        line += &format!(": {seen}");
        if let Some(advice) = &self.advice {
            line += &format!("\n         -> {}", shown(advice));
        }
        line
    }
}

/// Looks at everything.
pub(crate) fn run(context: &Context) -> Result<u8> {
    let mut checks = Vec::new();
    if let Some(loaded) = configured(context, &mut checks) {
        secrets::look(&loaded.config, &mut checks);
        repositories::look(context, &loaded.config, &mut checks);
        platforms::look(context, &loaded.config, &mut checks);
        leftovers::look(&loaded.config, &mut checks);
        host::look(&loaded.config, &mut checks);
        service::look(context, loaded, &mut checks);
    }
    tell(context, &checks)?;
    let worst = checks.iter().map(|check| check.verdict).max();
    Ok(match worst {
        Some(Verdict::Wrong) => EXIT_WRONG,
        _ => 0,
    })
}

/// The configuration, with what is wrong in it.
fn configured(context: &Context, checks: &mut Vec<Check>) -> Option<Loaded<Job>> {
    let path = context.configuration_path();
    let file = path.display().to_string();
    let loaded = match configuration::load::<Job>(&path, context.wiring.check_platform) {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "write one, as 'lifeboat config generate' does, or name it with --config";
            checks.push(Check::wrong(("config", &file), error.to_string(), advice));
            return None;
        }
    };
    for finding in &loaded.findings {
        let verdict = match finding.severity {
            Severity::Error => Verdict::Wrong,
            Severity::Warning => Verdict::Warning,
        };
        let spot = finding.spot.to_string();
        let advice = finding.suggestion.clone().unwrap_or_default();
        let about = ("config", spot.as_str());
        checks.push(Check::new(about, verdict, &finding.message, advice));
    }
    if loaded.findings.is_empty() {
        let seen = format!(
            "{}, {} and {} fit together",
            count(loaded.config.jobs.len(), "job"),
            count(loaded.config.platforms.len(), "platform"),
            match loaded.config.repositories.len() {
                1 => "1 repository".to_owned(),
                more => format!("{more} repositories"),
            }
        );
        checks.push(Check::well(("config", &file), seen));
    }
    loaded.is_parsed.then_some(loaded)
}

fn tell(context: &Context, checks: &[Check]) -> Result<()> {
    if context.output.is_json() {
        return checks
            .iter()
            .try_for_each(|check| context.output.message("check", check));
    }
    let number = |verdict| checks.iter().filter(|it| it.verdict == verdict).count();
    for check in checks {
        match check.verdict {
            Verdict::Well => context.output.tell(check.line())?,
            Verdict::Skipped => context.output.detail(check.line())?,
            Verdict::Warning | Verdict::Wrong => context.output.result(check.line())?,
        }
    }
    context.output.result(match number(Verdict::Wrong) {
        0 => format!(
            "nothing is wrong; {}",
            count(number(Verdict::Warning), "warning")
        ),
        1 => format!(
            "1 thing is wrong; {}",
            count(number(Verdict::Warning), "warning")
        ),
        wrong => format!(
            "{wrong} things are wrong; {}",
            count(number(Verdict::Warning), "warning")
        ),
    })
}

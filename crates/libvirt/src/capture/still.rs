//! Keeping a machine still for captures by other means than backup jobs.

use std::sync::Arc;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{CaptureRequest, Consistency, Error, Finding, Quiesce, Result, Stillness};

use crate::access::Access;
use crate::binding::{DefinitionKind, Domain, DomainState};

use super::describe;
use super::freeze::freeze;
use super::guard::GuardVerdict;
use super::scratch::{self, RunFolder};

/// What happens at the instant.
type Instant<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Calls `instant` while the machine is as still as the request wants.
pub(crate) fn around(
    access: &Access,
    request: &CaptureRequest,
    instant: Instant<'_>,
) -> Result<Stillness> {
    let domain = Arc::new(access.domain(&request.vm)?);
    let before = seen(&domain, request)?;
    match before.state {
        DomainState::Running => running(access, (request, &domain), instant),
        DomainState::Off | DomainState::Paused { .. } => {
            if before.state != DomainState::Off && request.quiesce == Quiesce::Required {
                return Err(unfrozen(
                    request,
                    "it is paused, so nobody in it can freeze",
                ));
            }
            instant()?;
            Ok(stood(&before, &seen(&domain, request)?))
        }
        DomainState::ShuttingDown | DomainState::Crashed | DomainState::Other => {
            let error = Error::new(ErrorKind::Busy, "capturing", request.vm.as_str());
            Err(error.seen("the machine is changing its state or broken; try again later"))
        }
    }
}

/// What a machine is at one moment.
#[derive(PartialEq, Eq)]
struct Seen {
    state: DomainState,
    /// The number of this life of the machine.
    number: Option<u32>,
}

fn seen(domain: &Domain, request: &CaptureRequest) -> Result<Seen> {
    let state = domain.state();
    Ok(Seen {
        state: state.map_err(|it| it.of("asking the state of", request.vm.as_str()))?,
        number: domain.number(),
    })
}

/// What a machine was that did not run before.
fn stood(before: &Seen, after: &Seen) -> Stillness {
    let is_still = before == after;
    let text = "the machine was started while its disks were captured";
    Stillness {
        consistency: match is_still && before.state == DomainState::Off {
            true => Consistency::Offline,
            false => Consistency::Crash,
        },
        is_still,
        findings: match is_still {
            true => Vec::new(),
            false => vec![Finding::warning(text)],
        },
    }
}

fn unfrozen(request: &CaptureRequest, reason: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "freezing the guest of",
        request.vm.as_str(),
    )
    .seen(format!("{reason}; it is required"))
}

fn running(
    access: &Access,
    (request, domain): (&CaptureRequest, &Arc<Domain>),
    instant: Instant<'_>,
) -> Result<Stillness> {
    let mut findings = Vec::new();
    let mut is_called = false;
    if request.quiesce != Quiesce::Never {
        let mut noted = || {
            is_called = true;
            instant()
        };
        let reason = match frozen(access, (request, domain), &mut noted, &mut findings)? {
            Ok(()) => {
                return Ok(Stillness {
                    consistency: Consistency::Filesystem,
                    is_still: true,
                    findings,
                });
            }
            Err(reason) => reason,
        };
        if request.quiesce == Quiesce::Required {
            return Err(unfrozen(request, &reason));
        }
        findings.push(Finding::warning(format!(
            "the guest was not frozen, its disks are as after a loss of power: {reason}"
        )));
    }
    if !is_called {
        instant()?;
    }
    Ok(Stillness {
        consistency: Consistency::Crash,
        is_still: false,
        findings,
    })
}

/// Calls `instant` with the guest frozen; says why it was not, then mostly without having called.
fn frozen(
    access: &Access,
    (request, domain): (&CaptureRequest, &Arc<Domain>),
    instant: Instant<'_>,
    findings: &mut Vec<Finding>,
) -> Result<std::result::Result<(), String>> {
    let vm = &request.vm;
    let (definition, _) = describe::definition(domain, vm, DefinitionKind::Present)?;
    if !definition.has_agent {
        return Ok(Err("the machine has no channel to a guest agent".into()));
    }
    // Its lock and its note tell a sweep whether somebody who died left the guest frozen.
    let base = scratch::usual_base(access)?;
    let run = RunFolder::create(access, &base, (vm, &request.origin), domain.number())?;
    let frozen = freeze(access, (vm, domain), &run, request.freeze_max);
    let outcome = match frozen {
        Err(reason) => Ok(Err(reason)),
        Ok(frozen) => {
            let done = instant();
            let verdict = frozen.thaw();
            done.map(|()| match verdict {
                GuardVerdict::Unused => Ok(()),
                GuardVerdict::Fired => {
                    Err("it was thawed before the instant was certainly fixed".to_owned())
                }
            })
        }
    };
    if let Err(error) = run.remove() {
        findings.push(Finding::note(format!("{error}; the next run removes it")));
    }
    outcome
}

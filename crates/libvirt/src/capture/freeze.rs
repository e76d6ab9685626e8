//! Freezing and thawing the guest around one call.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use lifeboat_platform::VmId;
use serde::Deserialize;

use crate::access::Access;
use crate::binding::Domain;

use super::guard::{Guard, GuardVerdict};
use super::scratch::RunFolder;

/// Limit: how long a guest may stay frozen, whatever is asked for.
const FREEZE_MAX: Duration = Duration::from_secs(10);
/// Seconds for a question to the agent that it can answer at once.
const STATUS_SECONDS: i32 = 5;

/// A guest whose file systems stand still.
pub(crate) struct Frozen<'a> {
    guard: Guard,
    domain: &'a Domain,
    run: &'a RunFolder,
}

/// Freezes the guest, for at most `limit`; says why not in words for people.
///
/// When it gives nothing, the guest is thawed or will be by the guard.
pub(crate) fn freeze<'a>(
    access: &Access,
    (vm, domain): (&VmId, &'a Arc<Domain>),
    run: &'a RunFolder,
    limit: Duration,
) -> Result<Frozen<'a>, String> {
    let limit = limit.min(FREEZE_MAX);
    match status(domain)?.as_str() {
        "thawed" => {}
        other => return Err(format!("its agent says that it is {other} already")),
    }
    let guard = access.options.guard.as_deref();
    let mut guard = Guard::start(guard, &access.connection_uri(), vm.as_str())?;
    if let Err(error) = run.note_frozen() {
        guard.abandon();
        return Err(error.to_string());
    }
    guard.begin(limit);
    let (sender, receiver) = channel();
    let asked = Arc::clone(domain);
    let asking = thread::Builder::new().name("freeze".into());
    asking
        .spawn(move || sender.send(asked.freeze()))
        .map_err(|e| format!("no thread to ask its agent: {e}"))?;
    let answer = receiver.recv_timeout(limit);
    let reason = match answer {
        Ok(Ok(count)) if count > 0 => {
            return Ok(Frozen { guard, domain, run });
        }
        Ok(Ok(_)) => "its agent froze no file system".to_owned(),
        Ok(Err(failure)) => format!("its agent refused: {failure}"),
        Err(_) => {
            guard.abandon();
            return Err("its agent did not answer in time".to_owned());
        }
    };
    Frozen { guard, domain, run }.thaw();
    Err(reason)
}

impl Frozen<'_> {
    /// Thaws, and says whether the guest stood still until now.
    pub(crate) fn thaw(self) -> GuardVerdict {
        if self.domain.thaw().is_err() {
            self.guard.abandon();
            return GuardVerdict::Fired;
        }
        self.run.note_thawed();
        self.guard.finish()
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "return")]
    status: String,
}

/// What the agent says of its file systems: `thawed` or `frozen`.
fn status(domain: &Domain) -> Result<String, String> {
    let asked = domain.ask_agent(r#"{"execute":"guest-fsfreeze-status"}"#, STATUS_SECONDS);
    let answer = asked
        .map_err(|e| e.to_string())?
        .map_err(|failure| failure.to_string())?;
    serde_json::from_str::<Answer>(&answer)
        .map(|answer| answer.status)
        .map_err(|e| format!("its agent answers strangely: {e}"))
}

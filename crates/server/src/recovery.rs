//! What a recovery would do, as the command says that will do it.
//!
//! Runs `machine recover --dry-run` of this program and gives its plan, or why there is none.
//! Does not begin anything: that is a run of its own.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_api::RestoreRequest;
use serde::Deserialize;

use crate::act::check_restore;
use crate::commands;
use crate::state::State;

/// Recoveries that are planned at the same time; others wait.
pub(crate) const TURNS: usize = 2;
/// How long somebody waits for a plan.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a recovery would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RecoveryPlan {
    /// The name of the machine that comes to be.
    pub machine: String,
    /// Sum of its disks.
    pub bytes: u64,
    /// Its disks.
    pub disks: Vec<PlannedDisk>,
    /// What is done, in order, in words.
    pub steps: Vec<String>,
    /// What is to be known before.
    pub findings: Vec<PlanFinding>,
}

/// A disk that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PlannedDisk {
    /// Its name: `vda`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// `raw`, `qcow2`.
    pub format: String,
    /// Where it comes to lie.
    pub place: String,
}

/// What is to be known of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PlanFinding {
    /// Whether somebody should think about it first.
    pub is_warning: bool,
    /// In words.
    pub text: String,
}

#[derive(Deserialize)]
struct Line {
    message_type: String,
    #[serde(flatten)]
    plan: serde_json::Value,
}

/// Plans what was asked for `machine`, of which the snapshot is.
///
/// Errors: why it cannot be done, in words for whoever asked.
pub(crate) async fn plan(
    state: &Arc<State>,
    machine: &str,
    request: &RestoreRequest,
) -> Result<RecoveryPlan, String> {
    check_restore(request).map_err(|refusal| refusal.0.message)?;
    let commands = commands::of(state).map_err(|refusal| refusal.0.message)?;
    let turn = Arc::clone(&state.plan_turns).acquire_owned();
    let turn = tokio::time::timeout(PATIENCE, turn).await;
    let _turn = turn.map_err(|_| "others plan recoveries: try again in some minutes")?;
    let words = words(machine, request).into_iter().map(OsString::from);
    let found = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&found);
    let take = move |line: Option<&[u8]>| {
        if let Some(plan) = line.and_then(read) {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
        }
    };
    commands::lines(commands, words.collect(), PATIENCE, take).await?;
    let plan = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    plan.ok_or_else(|| "the command ended without a plan: run it to see why".to_owned())
}

fn read(line: &[u8]) -> Option<RecoveryPlan> {
    let line = serde_json::from_slice::<Line>(line).ok()?;
    let is_plan = line.message_type == "plan";
    serde_json::from_value(line.plan).ok().filter(|_| is_plan)
}

/// The words of the command; a name behind `--` is never an option.
fn words(machine: &str, request: &RestoreRequest) -> Vec<String> {
    let at = |name: &str| format!("@{name}");
    let mut words = vec!["machine".to_owned(), "recover".to_owned()];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("--repo", at(&request.repository));
    option("--platform", at(&request.platform));
    if let Some(name) = &request.name {
        option("--as", name.clone());
    }
    if let Some(to) = &request.to {
        option("--to", to.clone());
    }
    let flags = [
        (request.is_started, "--start"),
        (request.is_replacing, "--replace"),
        (true, "--dry-run"),
        (true, "--"),
    ];
    let flags = flags.iter().filter(|(is_set, _)| *is_set);
    words.extend(flags.map(|(_, word)| (*word).to_owned()));
    words.push(format!("{machine}@{}", request.snapshot));
    words
}

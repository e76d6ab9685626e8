//! What a recovery would do, as the command says that will do it.
//!
//! Runs `machine recover --dry-run` of this program and gives its plan, or why there is none.
//! Does not begin anything: that is a run of its own.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_api::RestoreRequest;
use lifeboat_model::CancelToken;
use serde::Deserialize;

use crate::act::check_restore;
use crate::state::State;

/// Recoveries that are planned at the same time; others wait.
pub(crate) const TURNS: usize = 2;
/// How long somebody waits for a plan.
const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes of what is said that are listened to.
const SAID_MAX: usize = 1 << 20;

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
    let Some(commands) = state.commands.clone() else {
        return Err("this server runs no commands: run the one below to see the plan".to_owned());
    };
    let late = || {
        let seconds = PATIENCE.as_secs();
        format!("there was no plan after {seconds} s: run the command below to see why")
    };
    let turn = Arc::clone(&state.plan_turns).acquire_owned();
    let turn = tokio::time::timeout(PATIENCE, turn).await;
    let turn = turn.map_err(|_| late())?.map_err(|_| late())?;
    let words = words(machine, request);
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    let cancel = CancelToken::new();
    let asked = cancel.clone();
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut said = Vec::new();
        let mut take = |piece: Vec<u8>| {
            said.extend(piece);
            said.len() <= SAID_MAX
        };
        let ended = commands.run(&words, &asked, &mut take);
        ended.map_err(|(_, text)| text).map(|()| said)
    });
    let said = tokio::time::timeout(PATIENCE, working).await;
    // It ends when nobody waits for it any more.
    cancel.cancel();
    let said = said.map_err(|_| late())?.map_err(|_| late())??;
    read(&said).ok_or_else(|| "the command ended without a plan".to_owned())
}

fn read(said: &[u8]) -> Option<RecoveryPlan> {
    let lines = said.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    let line = lines.find(|line| line.message_type == "plan")?;
    serde_json::from_value(line.plan).ok()
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

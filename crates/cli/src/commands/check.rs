//! `lifeboat check` and `lifeboat verify`

mod point;
mod root;

use lifeboat_engine::verify::{Subset, Verified, verify as verify_data};
use lifeboat_model::ByteCount;
use lifeboat_repository::{Checked, Finding, LockMode, Repository, check as check_repository};
use serde::Serialize;

use crate::args::{CheckArguments, VerifyArguments};
use crate::context::Context;
use crate::error::{EXIT_DAMAGED, Result};
use crate::tables::count;

#[derive(Serialize)]
struct FindingLine<'a> {
    message: String,
    is_note: bool,
    remedy: &'a str,
}

#[derive(Serialize)]
struct SummaryLine {
    num_errors: usize,
    notes: usize,
    snapshots: usize,
    trees: usize,
    packs: usize,
    pack_bytes: u64,
    packs_read: usize,
    bytes_read: u64,
}

/// Checks structure, and data if asked to.
pub(crate) fn check(context: &Context, arguments: &CheckArguments) -> Result<u8> {
    let subset = match &arguments.read_data_subset {
        Some(text) => Some(text.parse()?),
        None => arguments.read_data.then_some(Subset::All),
    };
    let repository = context.open()?;
    run(context, &repository, subset)
}

/// Reads data back; or proves a restored copy against a root.
pub(crate) fn verify(context: &Context, arguments: &VerifyArguments) -> Result<u8> {
    let repository = context.open()?;
    if let Some(snapshot) = &arguments.snapshot {
        return point::run(context, &repository, snapshot);
    }
    if let Some(root) = &arguments.root {
        return root::run(context, &repository, root, arguments);
    }
    let subset = arguments
        .read_data_subset
        .as_ref()
        .map_or(Ok(Subset::All), |text| text.parse())?;
    run(context, &repository, Some(subset))
}

fn run(context: &Context, repository: &Repository, subset: Option<Subset>) -> Result<u8> {
    let _locked = context.lock(repository, LockMode::Shared)?;
    let display = context.show_progress()?;
    let (mut checked, index) = check_repository(repository)?;
    let verified = match subset {
        Some(subset) => verify_data(repository, &index, subset)?,
        None => Verified::default(),
    };
    drop(display);
    checked.findings.extend(verified.findings.clone());
    report(context, &checked, &verified, subset.is_some())
}

fn report(context: &Context, checked: &Checked, verified: &Verified, is_read: bool) -> Result<u8> {
    let (notes, errors): (Vec<&Finding>, Vec<&Finding>) = checked
        .findings
        .iter()
        .partition(|finding| finding.is_note());
    for finding in errors.iter().chain(&notes) {
        if context.output.is_json() {
            let (message, remedy) = (finding.to_string(), finding.remedy());
            let line = FindingLine {
                message,
                is_note: finding.is_note(),
                remedy,
            };
            context.output.message("finding", &line)?;
        } else if finding.is_note() {
            context.output.tell(format!("note: {finding}"))?;
        } else {
            context
                .output
                .result(format!("damaged: {finding} (see '{}')", finding.remedy()))?;
        }
    }
    if context.output.is_json() {
        context.output.message(
            "summary",
            &summary(checked, verified, errors.len(), notes.len()),
        )?;
    } else {
        told(context, checked, verified, is_read)?;
        match errors.len() {
            0 => context.output.result("no errors were found")?,
            1 => context.output.result("1 error was found")?,
            n => context.output.result(format!("{n} errors were found"))?,
        }
    }
    Ok(if errors.is_empty() { 0 } else { EXIT_DAMAGED })
}

fn told(context: &Context, checked: &Checked, verified: &Verified, is_read: bool) -> Result<()> {
    context.output.tell(format!(
        "checked {}, {}, {} with {}",
        count(checked.snapshots, "snapshot"),
        count(checked.trees, "tree"),
        count(checked.packs, "pack"),
        ByteCount(checked.pack_bytes)
    ))?;
    if checked.marked > 0 {
        context.output.tell(format!(
            "{} marked: a later prune removes what nobody needs by then",
            count(checked.marked, "pack")
        ))?;
    }
    if is_read {
        let (packs, total) = (verified.packs, verified.packs_total);
        let bytes = ByteCount(verified.bytes);
        context
            .output
            .tell(format!("read {packs} of {total} packs with {bytes}"))?;
    }
    Ok(())
}

fn summary(checked: &Checked, verified: &Verified, errors: usize, notes: usize) -> SummaryLine {
    SummaryLine {
        num_errors: errors,
        notes,
        snapshots: checked.snapshots,
        trees: checked.trees,
        packs: checked.packs,
        pack_bytes: checked.pack_bytes,
        packs_read: verified.packs,
        bytes_read: verified.bytes,
    }
}

//! Restoring a snapshot of files into a folder.

use lifeboat_engine::files::{
    ExistingFiles, FilesOptions, FilesPlan, FilesResult, FindingKind, Findings, Occupied,
    PathFilter, apply, occupy, plan, verify,
};
use lifeboat_model::{ByteCount, ErrorKind};
use serde::Serialize;

use super::Source;
use crate::error::{EXIT_PARTIAL, EXIT_VERIFY, Error, Result};
use crate::tables::{shown, span};

/// So many findings and conflicts are told to people; scripts get all that are kept.
const TOLD_MAX: usize = 20;

#[derive(Serialize)]
struct FindingLine<'a> {
    kind: &'a str,
    path: &'a str,
    seen: &'a str,
}

#[derive(Serialize)]
struct SummaryLine {
    snapshot_id: String,
    dry_run: bool,
    folders: u64,
    files: u64,
    files_equal: u64,
    others: u64,
    bytes_total: u64,
    bytes_written: u64,
    bytes_read: u64,
    findings: u64,
    total_duration: f64,
    verified: bool,
}

/// Restores the files of the snapshot that the arguments select; gives the exit code.
pub(super) fn restore(source: &Source<'_>) -> Result<u8> {
    let arguments = source.arguments;
    if arguments.target.as_os_str() == "-" {
        let message = "files go to a folder: name it with --target, or see 'lifeboat dump'";
        return Err(Error::usage(message));
    }
    let options = FilesOptions {
        existing: match (arguments.overwrite, arguments.in_place) {
            (_, true) => ExistingFiles::InPlace,
            (true, false) => ExistingFiles::Replace,
            (false, false) => ExistingFiles::Refuse,
        },
        filter: PathFilter::new(&arguments.include, &arguments.exclude)?,
    };
    let _occupied: Option<Occupied> = match arguments.dry_run {
        true => None,
        false => Some(occupy(&arguments.target)?),
    };
    let display = source.context.show_progress()?;
    let root = source.snapshot.file.tree;
    let plan = plan(
        source.repository,
        source.index,
        &root,
        &arguments.target,
        &options,
    )?;
    drop(display);
    tell_plan(source, &plan)?;
    refuse_conflicts(source, &plan)?;
    if arguments.dry_run {
        return report_plan(source, &plan);
    }
    let display = source.context.show_progress()?;
    let result = apply(source.repository, source.index, &plan)?;
    drop(display);
    let differing = if arguments.verify {
        let display = source.context.show_progress()?;
        let differing = verify(source.repository, source.index, &plan, &result)?;
        drop(display);
        Some(differing)
    } else {
        None
    };
    report(source, &plan, &result, differing.as_ref())
}

fn tell_plan(source: &Source<'_>, plan: &FilesPlan) -> Result<()> {
    source.context.output.detail(format!(
        "plan: {} files ({} equal already), {} folders, {} others; {} to write, {} to read \
         in {} requests",
        plan.file_count,
        plan.equal_count,
        plan.folder_count,
        plan.other_count,
        ByteCount(plan.write_bytes),
        ByteCount(plan.read_bytes),
        plan.request_count()
    ))
}

fn refuse_conflicts(source: &Source<'_>, plan: &FilesPlan) -> Result<()> {
    if plan.conflicts.is_empty() {
        return Ok(());
    }
    for path in plan.conflicts.iter().take(TOLD_MAX) {
        source
            .context
            .output
            .warn(format!("{path} exists and differs"));
    }
    let message = format!(
        "{} files exist in {} and differ, nothing was written: add --overwrite or --in-place, \
         or name another folder",
        plan.conflicts.len(),
        plan.target.display()
    );
    Err(Error::new(ErrorKind::Exists, message))
}

fn report_plan(source: &Source<'_>, plan: &FilesPlan) -> Result<u8> {
    tell_findings(source, &plan.findings)?;
    let output = source.context.output;
    if output.is_json() {
        output.message("summary", &summary(source, plan, None, false))?;
        return Ok(code(&plan.findings));
    }
    output.tell(format!(
        "would write {} to {} files, {} of {} files are equal already",
        ByteCount(plan.write_bytes),
        plan.file_count - plan.equal_count,
        plan.equal_count,
        plan.file_count
    ))?;
    output.result(format!(
        "dry run: nothing of snapshot {} was written to {}",
        source.snapshot.id.short(),
        plan.target.display()
    ))?;
    Ok(code(&plan.findings))
}

fn report(
    source: &Source<'_>,
    plan: &FilesPlan,
    result: &FilesResult,
    differing: Option<&Findings>,
) -> Result<u8> {
    let output = source.context.output;
    tell_findings(source, &result.findings)?;
    if let Some(differing) = differing {
        tell_findings(source, differing)?;
    }
    let is_whole = differing.is_some_and(|differing| differing.fault_count() == 0);
    if output.is_json() {
        output.message("summary", &summary(source, plan, Some(result), is_whole))?;
    } else {
        output.tell(format!(
            "wrote {} to {} files, left {} that were equal, made {} folders and {} others, in {}",
            ByteCount(result.written),
            result.files,
            plan.equal_count,
            plan.folder_count,
            plan.other_count,
            span(result.duration)
        ))?;
        if is_whole {
            output.tell("read the files back: every byte is as in the snapshot")?;
        }
    }
    let faults = result.findings.fault_count();
    let (id, place) = (source.snapshot.id.short(), plan.target.display());
    if let Some(differing) = differing.filter(|_| !is_whole) {
        let message = format!(
            "{} files in {place} differ from the snapshot: its storage does not keep what is \
             written to it",
            differing.fault_count()
        );
        return Err(Error::with_code(EXIT_VERIFY, message));
    }
    if !output.is_json() && faults == 0 {
        output.result(format!("snapshot {id} restored to {place}"))?;
    } else if !output.is_json() {
        output.result(format!(
            "snapshot {id} restored to {place} with {faults} findings: see the warnings"
        ))?;
    }
    Ok(code(&result.findings))
}

fn code(findings: &Findings) -> u8 {
    if findings.fault_count() == 0 {
        0
    } else {
        EXIT_PARTIAL
    }
}

fn tell_findings(source: &Source<'_>, findings: &Findings) -> Result<()> {
    let output = source.context.output;
    let mut told = 0;
    for finding in findings.iter() {
        if output.is_json() {
            let line = FindingLine {
                kind: finding.kind.word(),
                path: &finding.path,
                seen: &finding.seen,
            };
            output.message("finding", &line)?;
        } else if finding.kind == FindingKind::Note {
            output.detail(format!("{}: {}", finding.path, shown(&finding.seen)))?;
        } else if told < TOLD_MAX {
            told += 1;
            output.warn(format!("{}: {}", finding.path, shown(&finding.seen)));
        }
    }
    let more = findings.fault_count().saturating_sub(TOLD_MAX as u64);
    if more > 0 && !output.is_json() {
        output.warn(format!("and {more} more findings; --json tells them"));
    }
    Ok(())
}

fn summary(
    source: &Source<'_>,
    plan: &FilesPlan,
    result: Option<&FilesResult>,
    verified: bool,
) -> SummaryLine {
    let findings = result.map_or(&plan.findings, |result| &result.findings);
    SummaryLine {
        snapshot_id: source.snapshot.id.to_string(),
        dry_run: result.is_none(),
        folders: plan.folder_count,
        files: plan.file_count,
        files_equal: plan.equal_count,
        others: plan.other_count,
        bytes_total: plan.size,
        bytes_written: result.map_or(plan.write_bytes, |result| result.written),
        bytes_read: result.map_or(plan.read_bytes, |result| result.read),
        findings: findings.fault_count(),
        total_duration: result.map_or(0.0, |result| result.duration.as_secs_f64()),
        verified,
    }
}

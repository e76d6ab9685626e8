//! `lifeboat machine backup`

use std::path::Path;
use std::sync::Arc;

use lifeboat_control::{
    BackupPlace, Job, JobText, Pacer, Step, Stored, StoredFiles, VmBackup, VmOutcome, Watch, each,
    lower_priority,
};
use lifeboat_model::{ByteCount, ErrorKind, VmName};
use lifeboat_platform::{Finding, Platform, Severity, Vm};
use lifeboat_repository::LockMode;
use serde::Serialize;

use super::{chosen, inventory};
use crate::args::MachineBackupArguments;
use crate::commands::backup::load_index;
use crate::commands::files::rescue_settings;
use crate::context::Context;
use crate::error::{EXIT_PARTIAL, Error, Result, chain};
use crate::output::Output;
use crate::service::job_tag;
use crate::tables::{Table, count, span};

/// Largest file with a job.
const JOB_BYTES_MAX: u64 = 1 << 20;

/// Backs up every machine that is meant, several at the same time.
pub(crate) fn run(context: &Context, arguments: &MachineBackupArguments) -> Result<u8> {
    let Some(name) = configured_name(arguments.job.as_deref()) else {
        return run_job(context, arguments, &job(context, arguments)?);
    };
    let (platform, repository) = context.ends_of_job(name)?;
    let mut arguments = arguments.clone();
    arguments.platform.platform.get_or_insert(platform);
    let context = context.with_repository(repository);
    run_job(&context, &arguments, &job(&context, &arguments)?)
}

fn run_job(context: &Context, arguments: &MachineBackupArguments, job: &Job) -> Result<u8> {
    let platform = context.open_platform_by(&arguments.platform, job.snapshots)?;
    let inventory = inventory(context, &*platform)?;
    let machines = chosen(&job.selection, &inventory)?;
    if machines.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "no machine is meant: 'lifeboat machine ls' lists them",
        ));
    }
    if arguments.dry_run {
        return show(context, &*platform, job, &machines);
    }
    lower_priority(job.limits.nice, job.limits.io)?;
    let repository = context.open()?;
    let locked = context.lock(&repository, LockMode::Shared)?;
    let index = load_index(context, &locked, false)?;
    let place = BackupPlace {
        repository: &repository,
        index: &index,
        lock: locked.lock()?,
        sizes: context.chunk_sizes(&repository),
        write: context.write_options(&repository)?,
    };
    let watch = Told(context.output);
    let environment = &context.environment;
    let pacer = job.limits.bandwidth.map(|rate| {
        let clock = Arc::clone(&environment.clock);
        Arc::new(Pacer::new(rate, clock, environment.cancel.clone()))
    });
    let turns = context.turns();
    let rescue = rescue_settings(&arguments.rescue);
    let backup = VmBackup {
        platform: &*platform,
        place: &place,
        job,
        is_forced: arguments.force,
        pacer,
        turns: &turns,
        watch: &watch,
        program: concat!("lifeboat ", env!("CARGO_PKG_VERSION")),
        rescue: &rescue,
    };
    let display = context.show_progress()?;
    let parallel = job.limits.parallel;
    let outcomes = each(&machines, parallel, &environment.cancel, |vm| {
        backup.run(vm)
    });
    drop(display);
    context.hold_reserve(&repository);
    report(context, &machines, outcomes)
}

/// The job of the file with what the arguments add.
fn job(context: &Context, arguments: &MachineBackupArguments) -> Result<Job> {
    let mut text = match &arguments.job {
        Some(path) => read_job(context, path)?,
        None => JobText::default(),
    };
    let selection = &arguments.selection;
    if !selection.machines.is_empty() {
        text.machines.clone_from(&selection.machines);
    }
    text.all_but.extend(selection.all_but.iter().cloned());
    text.tags.extend(arguments.tag.iter().cloned());
    text.disks.extend(arguments.only_disk.iter().cloned());
    text.all_disks_but
        .extend(arguments.all_disks_but.iter().cloned());
    if arguments.files || !arguments.source.is_empty() || !arguments.exclude.is_empty() {
        let files = text.files.get_or_insert_default();
        files.source.extend(arguments.source.iter().cloned());
        files.exclude.extend(arguments.exclude.iter().cloned());
    }
    text.quiesce = arguments.quiesce.clone().or(text.quiesce);
    text.scratch = arguments.scratch.clone().or(text.scratch);
    text.parallel = arguments.parallel.or(text.parallel);
    text.bandwidth = arguments.bandwidth.clone().or(text.bandwidth);
    Ok(text.parse()?)
}

/// The name in `@NAME`.
fn configured_name(job: Option<&Path>) -> Option<&str> {
    job?.to_str()?.strip_prefix('@')
}

/// Reads a job of the configuration, or a file with one.
pub(super) fn read_job(context: &Context, path: &Path) -> Result<JobText> {
    if let Some(name) = configured_name(Some(path)) {
        let mut text = context.job_text(name)?;
        text.tags.push(job_tag(name));
        return Ok(text);
    }
    let failed = |e: &std::io::Error| {
        let message = format!("cannot read the job {}: {e}", path.display());
        Error::new(ErrorKind::of_io(e), message)
    };
    let size = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
    if size > JOB_BYTES_MAX {
        return Err(Error::usage(format!(
            "the job {} is larger than 1 MiB",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    let job = JobText::from_toml(&text);
    job.map_err(|error| Error::usage(format!("{}: {error}", path.display())))
}

fn show(context: &Context, platform: &dyn Platform, job: &Job, machines: &[&Vm]) -> Result<u8> {
    let mut table = Table::new(&["Machine", "State", "Disk", ">Size", "Format", "Place"]);
    for vm in machines {
        super::rows(&mut table, vm);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    for vm in machines {
        match platform.preview(&vm.id, &job.disks_of(vm)?) {
            Ok(lines) => lines
                .iter()
                .try_for_each(|line| context.output.tell(format!("{}: {line}", vm.name)))?,
            Err(error) => context
                .output
                .warn(format!("{}: {}", vm.name, chain(&error))),
        }
    }
    let below = job.files.as_ref().map(|files| files.sources.join(", "));
    let below = below.map(|paths| format!(", the files below {paths}"));
    let text = format!(
        "dry run: {} would be backed up{}",
        count(machines.len(), "machine"),
        below.unwrap_or_default()
    );
    context.output.result(text)?;
    Ok(0)
}

/// Tells steps with `-v` and findings always.
pub(super) struct Told(pub(super) Output);

impl Watch for Told {
    fn step(&self, vm: &VmName, step: Step) {
        self.0.step(vm.as_str(), &step.to_string());
    }

    fn finding(&self, vm: &VmName, finding: &Finding) {
        match finding.severity {
            Severity::Warning => self.0.warn(format!("{vm}: {}", finding.text)),
            Severity::Note => self.0.detail_aside(format!("{vm}: {}", finding.text)),
        }
    }
}

#[derive(Serialize)]
struct DiskLine<'a> {
    disk: String,
    size: u64,
    mode: &'a str,
    reason: &'a str,
    bytes_read: u64,
    bytes_reused: u64,
    changed_bytes: Option<u64>,
    checkpoint: Option<String>,
}

#[derive(Serialize)]
struct FilesLine {
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    dirs: u64,
    others: u64,
    total_bytes_processed: u64,
    bytes_read: u64,
    unread: u64,
}

#[derive(Serialize)]
struct OutcomeLine<'a> {
    machine: &'a str,
    machine_id: &'a str,
    outcome: &'a str,
    error: Option<String>,
    snapshot_id: Option<String>,
    consistency: Option<String>,
    disks: Vec<DiskLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<FilesLine>,
    data_added: u64,
    data_added_packed: u64,
    total_duration: f64,
    findings: Vec<&'a str>,
    hooks: &'a [lifeboat_control::hook::HookRun],
}

fn report(context: &Context, machines: &[&Vm], outcomes: Vec<Option<VmOutcome>>) -> Result<u8> {
    let mut failed: Vec<Error> = Vec::new();
    let (mut is_any_stored, mut is_any_unread) = (false, false);
    for outcome in outcomes.iter().flatten() {
        tell(context, outcome)?;
        if let Ok(Some(stored)) = &outcome.result {
            is_any_stored = true;
            is_any_unread |= stored.files.as_ref().is_some_and(|files| files.unread > 0);
        }
    }
    let begun = outcomes.iter().flatten().count();
    for outcome in outcomes.into_iter().flatten() {
        if let Err(error) = outcome.result {
            let name = &outcome.vm.name;
            let told = chain(&error);
            let error = Error::from(error);
            let is_named = told.contains(name.as_str());
            let message = if is_named {
                told
            } else {
                format!("{name}: {told}")
            };
            failed.push(error.in_words(message));
        }
    }
    if begun < machines.len() {
        let left = count(machines.len() - begun, "machine");
        failed.push(Error::new(
            ErrorKind::Cancelled,
            format!("stopped on request: {left} not begun"),
        ));
    }
    match failed.len() {
        0 if is_any_unread => Ok(EXIT_PARTIAL),
        0 => Ok(0),
        1 if !is_any_stored => Err(failed.remove(0)),
        _ => {
            let all = failed.len();
            for error in failed {
                context.output.fail(&error);
            }
            let text = format!("{} of {} failed", all, count(machines.len(), "machine"));
            context.output.result(text)?;
            Ok(if is_any_stored { EXIT_PARTIAL } else { 1 })
        }
    }
}

fn tell(context: &Context, outcome: &VmOutcome) -> Result<()> {
    if context.output.is_json() {
        return context.output.message("machine", &line(outcome));
    }
    let (name, stored) = match &outcome.result {
        Ok(Some(stored)) => (&outcome.vm.name, stored),
        _ => return Ok(()),
    };
    match &stored.files {
        Some(files) => tell_files(context, files)?,
        None => tell_disks(context, stored)?,
    }
    let totals = stored.result.totals;
    context.output.tell(format!(
        "added {}, stored as {}, in {}; {} consistent",
        ByteCount(totals.added),
        ByteCount(totals.added_packed),
        span(stored.result.duration),
        stored.consistency
    ))?;
    let id = stored
        .result
        .snapshot
        .map(|id| id.short())
        .unwrap_or_default();
    context
        .output
        .result(format!("snapshot {id} of {name} saved"))
}

fn tell_disks(context: &Context, stored: &Stored) -> Result<()> {
    let mut table = Table::new(&["Disk", ">Size", ">Read", ">Reused", "Mode", "Reason"]);
    for (fact, disk) in stored.disks.iter().zip(&stored.result.disks) {
        table.row([
            fact.name.to_string(),
            ByteCount(disk.size).to_string(),
            ByteCount(disk.read_bytes).to_string(),
            ByteCount(disk.reused_bytes).to_string(),
            fact.mode().to_owned(),
            fact.reason.clone(),
        ]);
    }
    for line in table.lines() {
        context.output.tell(line)?;
    }
    Ok(())
}

fn tell_files(context: &Context, files: &StoredFiles) -> Result<()> {
    let counts = files.counts;
    let all = counts.new + counts.changed + counts.unmodified;
    context.output.tell(format!(
        "{}: {} new, {} changed, {} as before; {} of {} read",
        count(all, "file"),
        counts.new,
        counts.changed,
        counts.unmodified,
        ByteCount(counts.read_bytes),
        ByteCount(counts.bytes),
    ))?;
    match files.unread {
        0 => Ok(()),
        unread => context
            .output
            .tell(format!("{unread} could not be read in full")),
    }
}

fn line(outcome: &VmOutcome) -> OutcomeLine<'_> {
    let stored = outcome.result.as_ref().ok().and_then(Option::as_ref);
    let word = match &outcome.result {
        Ok(Some(_)) => "saved",
        Ok(None) => "passed_over",
        Err(_) => "failed",
    };
    OutcomeLine {
        machine: outcome.vm.name.as_str(),
        machine_id: outcome.vm.id.as_str(),
        outcome: word,
        error: outcome.result.as_ref().err().map(|error| chain(error)),
        snapshot_id: stored
            .and_then(|it| it.result.snapshot)
            .map(|id| id.to_string()),
        consistency: stored.map(|it| it.consistency.to_string()),
        disks: stored.map(disk_lines).unwrap_or_default(),
        files: stored.and_then(|it| it.files.as_ref()).map(files_line),
        data_added: stored.map_or(0, |it| it.result.totals.added),
        data_added_packed: stored.map_or(0, |it| it.result.totals.added_packed),
        total_duration: stored.map_or(0.0, |it| it.result.duration.as_secs_f64()),
        findings: outcome.findings.iter().map(|it| it.text.as_str()).collect(),
        hooks: &outcome.hooks,
    }
}

fn files_line(files: &StoredFiles) -> FilesLine {
    let counts = files.counts;
    FilesLine {
        files_new: counts.new,
        files_changed: counts.changed,
        files_unmodified: counts.unmodified,
        dirs: counts.folders_new + counts.folders_changed + counts.folders_unmodified,
        others: counts.others,
        total_bytes_processed: counts.bytes,
        bytes_read: counts.read_bytes,
        unread: files.unread,
    }
}

fn disk_lines(stored: &Stored) -> Vec<DiskLine<'_>> {
    let all = stored.disks.iter().zip(&stored.result.disks);
    all.map(|(fact, disk)| DiskLine {
        disk: fact.name.to_string(),
        size: disk.size,
        mode: fact.mode(),
        reason: &fact.reason,
        bytes_read: disk.read_bytes,
        bytes_reused: disk.reused_bytes,
        changed_bytes: fact.changed_bytes,
        checkpoint: fact.checkpoint.clone(),
    })
    .collect()
}

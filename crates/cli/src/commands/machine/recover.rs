//! `lifeboat machine recover`

use std::collections::BTreeMap;
use std::path::PathBuf;

use lifeboat_control::hook::HookRun;
use lifeboat_control::{
    Recovered, RecoveryPlan, RecoverySettings, RecoverySource, RescueVm, apply_recovery,
    clear_recovery, plan_recovery,
};
use lifeboat_model::{ByteCount, DiskName, ErrorKind};
use lifeboat_platform::{Identity, NetworkMapping, Occupied, Placement, Severity};
use lifeboat_repository::{LockMode, Snapshot};
use serde::Serialize;

use super::super::files::rescue_settings;
use super::backup::{Told, read_job};
use crate::args::MachineRecoverArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::{Table, shown, span};

/// Brings a machine back on a platform.
pub(crate) fn run(context: &Context, arguments: &MachineRecoverArguments) -> Result<u8> {
    let step = |name| context.output.step(&arguments.machine, name);
    step("validate");
    let settings = settings(context, arguments)?;
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    step("inspect");
    let snapshot = select::machine_point(context, &repository, &arguments.machine)?;
    let index = context.load_index_to_read(&repository)?;
    step("plan");
    let platform = context.open_platform(&arguments.platform)?;
    let builder = platform.builder().ok_or_else(|| {
        let message = format!("{}: this platform cannot make machines", platform.place());
        Error::new(ErrorKind::Unsupported, message)
    })?;
    let source = RecoverySource {
        repository: &repository,
        index: &index,
        snapshot: &snapshot,
    };
    if !arguments.dry_run {
        for finding in clear_recovery(builder, source, &settings)? {
            context.output.warn(&finding.text);
        }
    }
    let plan = plan_recovery(builder, source, &settings)?;
    show(context, &snapshot, &plan)?;
    if arguments.dry_run {
        let name = &plan.build.name;
        if !context.output.is_json() {
            let line = format!("dry run: {name} was not made");
            context.output.result(line)?;
        }
        return Ok(0);
    }
    let display = context.show_progress()?;
    let way = RescueVm {
        settings: rescue_settings(&arguments.rescue),
        cancel: &context.environment.cancel,
    };
    let mut hooks = Vec::new();
    let done = apply_recovery(
        &*platform,
        builder,
        source,
        &plan,
        &settings,
        (&way, &mut hooks, &Told(context.output)),
    );
    drop(display);
    show_hooks(context, &hooks, done.is_err())?;
    report(context, &plan, &settings, (&done?, &hooks))
}

fn settings(context: &Context, arguments: &MachineRecoverArguments) -> Result<RecoverySettings> {
    let mut placements = BTreeMap::new();
    for text in &arguments.place {
        let (disk, place) = text.split_once('=').ok_or_else(|| {
            Error::usage(format!(
                "--place \"{text}\": write DISK=PLACE, as in vda=/dev/vg/web01"
            ))
        })?;
        let disk: DiskName = disk.parse()?;
        if placements.insert(disk.clone(), placement(place)?).is_some() {
            return Err(Error::usage(format!(
                "--place names the disk \"{disk}\" twice"
            )));
        }
    }
    let disks = arguments.only_disk.iter().map(|name| Ok(name.parse()?));
    let hooks = match &arguments.job {
        Some(path) => read_job(context, path)?.parse()?.hooks,
        None => Vec::new(),
    };
    Ok(RecoverySettings {
        name: arguments.name.as_deref().map(str::parse).transpose()?,
        disks: disks.collect::<Result<_>>()?,
        placement: placement(&arguments.to)?,
        placements,
        networks: arguments
            .network
            .iter()
            .map(|text| network(text))
            .collect::<Result<_>>()?,
        identity: identity(&arguments.identity)?,
        occupied: if arguments.replace {
            Occupied::SetAside
        } else {
            Occupied::Refuse
        },
        is_started: arguments.start,
        is_verified: arguments.verify,
        hooks,
    })
}

/// `pool:NAME`, a folder that ends with `/`, or a file or device.
pub(crate) fn placement(text: &str) -> Result<Placement> {
    match text.strip_prefix("pool:") {
        Some("") => Err(Error::usage("pool: needs a name, as in pool:default")),
        Some(name) => Ok(Placement::Pool(name.to_owned())),
        None if !text.starts_with('/') => Err(Error::usage(format!(
            "the place \"{text}\": write pool:NAME, /folder/ or /path/of/file"
        ))),
        None if text.ends_with('/') => Ok(Placement::Folder(PathBuf::from(text))),
        None => Ok(Placement::Exact(PathBuf::from(text))),
    }
}

/// `OLD=NEW`, or `OLD=` for no network.
pub(crate) fn network(text: &str) -> Result<NetworkMapping> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok(NetworkMapping {
            from: from.to_owned(),
            to: (!to.is_empty()).then(|| to.to_owned()),
        }),
        _ => Err(Error::usage(format!(
            "--network \"{text}\": write OLD=NEW, or OLD= to disconnect"
        ))),
    }
}

fn identity(word: &str) -> Result<Identity> {
    match word {
        "keep-if-free" => Ok(Identity::KeepIfFree),
        "new" => Ok(Identity::New),
        "keep" => Ok(Identity::Keep),
        _ => Err(Error::usage(format!(
            "--identity {word}: write keep-if-free, new or keep"
        ))),
    }
}

#[derive(Serialize)]
struct PlanLine<'a> {
    machine: &'a str,
    bytes: u64,
    disks: Vec<PlanDisk<'a>>,
    steps: Vec<String>,
    findings: Vec<PlanFinding<'a>>,
}

#[derive(Serialize)]
struct PlanDisk<'a> {
    name: &'a str,
    bytes: u64,
    format: String,
    place: &'a str,
}

#[derive(Serialize)]
struct PlanFinding<'a> {
    is_warning: bool,
    text: &'a str,
}

/// The plan for programs.
fn plan_line(plan: &RecoveryPlan) -> PlanLine<'_> {
    let disks = plan.build.disks.iter().map(|it| PlanDisk {
        name: it.name.as_str(),
        bytes: it.size,
        format: it.format.to_string(),
        place: &it.place,
    });
    let findings = plan.build.findings.iter().map(|it| PlanFinding {
        is_warning: matches!(it.severity, Severity::Warning),
        text: &it.text,
    });
    PlanLine {
        machine: plan.build.name.as_str(),
        bytes: plan.build.disks.iter().map(|it| it.size).sum(),
        disks: disks.collect(),
        steps: plan.build.steps.iter().map(ToString::to_string).collect(),
        findings: findings.collect(),
    }
}

fn show(context: &Context, snapshot: &Snapshot, plan: &RecoveryPlan) -> Result<()> {
    let output = context.output;
    if output.is_json() {
        output.message("plan", &plan_line(plan))?;
    }
    let (id, name) = (snapshot.id.short(), &plan.build.name);
    output.tell(format!(
        "{name} from snapshot {id}, {} of disks",
        plan.size()
    ))?;
    let mut table = Table::new(&["Disk", ">Size", "Format", "Place"]);
    for disk in &plan.build.disks {
        table.row([
            disk.name.to_string(),
            ByteCount(disk.size).to_string(),
            disk.format.to_string(),
            shown(&disk.place),
        ]);
    }
    for line in table.lines() {
        output.tell(line)?;
    }
    for step in &plan.build.steps {
        output.tell(format!("  {step}"))?;
    }
    for finding in &plan.build.findings {
        match finding.severity {
            Severity::Warning => output.warn(&finding.text),
            Severity::Note => output.detail_aside(&finding.text),
        }
    }
    Ok(())
}

/// What hooks printed; for scripts only where no summary follows.
fn show_hooks(context: &Context, hooks: &[HookRun], has_failed: bool) -> Result<()> {
    let output = context.output;
    for run in hooks {
        if output.is_json() {
            if has_failed {
                output.message("hook", run)?;
            }
            continue;
        }
        let (words, seconds) = (run.words.join(" "), run.seconds);
        let end = if run.is_success() { "done" } else { "failed" };
        output.tell(format!(
            "{} hook \"{}\" {end} in {seconds:.1} s",
            run.when,
            shown(&words)
        ))?;
        for line in run.output.lines() {
            output.tell(format!("  {line}"))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    machine: &'a str,
    machine_id: &'a str,
    bytes_written: u64,
    total_duration: f64,
    verified: bool,
    started: bool,
    findings: Vec<&'a str>,
    hooks: &'a [HookRun],
}

fn report(
    context: &Context,
    plan: &RecoveryPlan,
    settings: &RecoverySettings,
    (done, hooks): (&Recovered, &[HookRun]),
) -> Result<u8> {
    let (output, name) = (context.output, &plan.build.name);
    if output.is_json() {
        let line = SummaryLine {
            machine: name.as_str(),
            machine_id: done.vm.as_str(),
            bytes_written: done.written,
            total_duration: done.duration.as_secs_f64(),
            verified: done.is_verified,
            started: settings.is_started,
            findings: done.findings.iter().map(|it| it.text.as_str()).collect(),
            hooks,
        };
        output.message("summary", &line)?;
        return Ok(0);
    }
    for finding in done.findings.iter().skip(plan.build.findings.len()) {
        output.warn(&finding.text);
    }
    let (written, time) = (ByteCount(done.written), span(done.duration));
    output.tell(format!("wrote {written} in {time}"))?;
    if done.is_verified {
        let is_changed = hooks.iter().any(|run| run.when == "end_recovery");
        let when = if is_changed { ", before the hooks" } else { "" };
        output.tell(format!(
            "read every disk back{when}: every byte is as in the snapshot"
        ))?;
    }
    let state = match settings.is_started {
        true => "runs",
        false if plan.build.definition.is_empty() => "has its disks: define it where it shall run",
        false => "is defined",
    };
    output.result(format!("{name} {state}"))?;
    Ok(0)
}

//! `lifeboat instant`: machines that run straight from the repository.

mod server;

use std::time::{Duration, Instant};

use lifeboat_control::instant::{self, InstantFolder, InstantState, InstantView};
use lifeboat_control::{Parent, RecoverySource};
use lifeboat_model::{ByteCount, DiskName, ErrorKind, VmName};
use lifeboat_platform::{Finding, Platform, Severity, VmState};
use lifeboat_repository::LockMode;
use serde::Serialize;

use super::machine::recover::{network, placement};
use crate::args::{
    InstantCommand, InstantNameArguments, InstantPromoteArguments, InstantStartArguments,
    InstantStateArguments, PlatformArguments,
};
use crate::context::Context;
use crate::error::{Error, Result, chain};
use crate::select;
use crate::tables::{Table, count};

/// How long the server may take to come up, the index of a large repository included.
const SERVER_LIMIT: Duration = Duration::from_secs(120);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Runs a command about such machines.
pub(crate) fn run(context: &Context, command: &InstantCommand) -> Result<u8> {
    match command {
        InstantCommand::Start(arguments) => start(context, arguments),
        InstantCommand::List(arguments) => list(context, arguments),
        InstantCommand::Resume(arguments) => resume(context, arguments),
        InstantCommand::Promote(arguments) => promote(context, arguments),
        InstantCommand::Discard(arguments) => discard(context, arguments),
        InstantCommand::Serve(arguments) => server::serve(context, arguments),
    }
}

fn start(context: &Context, arguments: &InstantStartArguments) -> Result<u8> {
    let begun = Instant::now();
    let networks = arguments.network.iter().map(|text| network(text));
    let networks: Vec<_> = networks.collect::<Result<_>>()?;
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshot = select::machine_point(context, &repository, &arguments.machine)?;
    let index = context.load_index_to_read(&repository)?;
    let parent = Parent::of(&repository, &index, &snapshot);
    let manifest = parent
        .manifest
        .map_err(|seen| Error::new(ErrorKind::Corrupt, seen))?;
    let name: VmName = match &arguments.name {
        Some(name) => name.parse()?,
        None => format!("{}-instant", manifest.machine.name).parse()?,
    };
    let disks = manifest
        .disks
        .iter()
        .map(|disk| (disk.name.clone(), disk.size));
    let mut state = InstantState {
        version: 1,
        name: name.to_string(),
        platform: context.platform_uri(&arguments.platform)?,
        repository: context.place()?,
        snapshot: snapshot.id.to_string(),
        machine: manifest.machine.name.clone(),
        disks: disks.collect(),
        vm: None,
        begun: context.environment.clock.now().to_string(),
        moving: Vec::new(),
    };
    let platform = context.open_platform(&arguments.platform)?;
    // A platform that is out of reach from the beginning leaves nothing to remove.
    platform.inventory()?;
    let folder = InstantFolder::of(&arguments.state.folder, &name);
    folder.create(&state)?;
    let source = RecoverySource {
        repository: &repository,
        index: &index,
        snapshot: &snapshot,
    };
    let cancel = &context.environment.cancel;
    let started = server::spawn(context, &folder, &name)
        .and_then(|()| Ok(folder.wait_for_server(SERVER_LIMIT, cancel)?))
        .and_then(|()| {
            Ok(instant::start(
                &*platform, source, &folder, &mut state, &networks,
            )?)
        });
    let findings = match started {
        Ok(findings) => findings,
        Err(error) => return Err(undone(&*platform, folder, state, error)),
    };
    tell_findings(context, &findings);
    let seconds = begun.elapsed().as_secs_f64();
    let id = snapshot.id.short();
    context.output.result(format!(
        "{name} runs from snapshot {id}, after {seconds:.1} s"
    ))?;
    context.output.tell(format!(
        "what it writes is kept in {}\n'lifeboat instant promote {name}' moves it into storage, \
         'lifeboat instant discard {name}' removes it",
        folder.path().display()
    ))?;
    Ok(0)
}

fn tell_findings(context: &Context, findings: &[Finding]) {
    for finding in findings {
        match finding.severity {
            Severity::Warning => context.output.warn(&finding.text),
            Severity::Note => context.output.detail_aside(&finding.text),
        }
    }
}

/// The failure, after everything that was begun is gone.
fn undone(
    platform: &dyn Platform,
    folder: InstantFolder,
    state: InstantState,
    error: Error,
) -> Error {
    let name = state.name.clone();
    let view = InstantView::of(folder, state);
    match instant::discard(platform, &view, STOP_LIMIT) {
        Ok(()) => error,
        Err(left) => error.add(&format!(
            "; and {}: 'lifeboat instant discard {name}' removes what was begun",
            chain(&left)
        )),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    state: &'a InstantState,
    is_served: bool,
    overlay_bytes: u64,
}

fn list(context: &Context, arguments: &InstantStateArguments) -> Result<u8> {
    let views = instant::list(&arguments.folder)?;
    if context.output.is_json() {
        let lines = views.iter().map(|view| Line {
            state: &view.state,
            is_served: view.is_served,
            overlay_bytes: view.overlay_bytes,
        });
        context.output.json(&lines.collect::<Vec<_>>())?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        "Machine", "From", "Snapshot", "Served", ">Written", "Platform",
    ]);
    for view in &views {
        let state = &view.state;
        table.row([
            state.name.clone(),
            state.machine.clone(),
            state.snapshot.chars().take(8).collect(),
            if view.is_served {
                "yes"
            } else {
                "NO: instant resume"
            }
            .to_owned(),
            ByteCount(view.overlay_bytes).to_string(),
            state.platform.clone(),
        ]);
    }
    context.output.result(table.lines().join("\n"))?;
    context.output.tell(count(views.len(), "machine"))?;
    Ok(0)
}

/// The machine of that name.
fn find(arguments: &InstantStateArguments, name: &str) -> Result<InstantView> {
    let views = instant::list(&arguments.folder)?;
    let found = views.into_iter().find(|view| view.state.name == name);
    found.ok_or_else(|| {
        let message = format!("no machine \"{name}\" runs from a repository: see 'instant list'");
        Error::new(ErrorKind::NotFound, message)
    })
}

fn resume(context: &Context, arguments: &InstantNameArguments) -> Result<u8> {
    let view = find(&arguments.state, &arguments.name)?;
    let platform = context.open_platform(&platform_of(&view))?;
    let state = serve_again(context, &*platform, &view)?;
    let how = match state {
        VmState::Off => "is off: start it",
        _ => "goes on",
    };
    let name = &view.state.name;
    context
        .output
        .result(format!("{name} is served and {how}"))?;
    Ok(0)
}

/// Starts the server if it is gone, and lets the machine go on if it waits.
fn serve_again(context: &Context, platform: &dyn Platform, view: &InstantView) -> Result<VmState> {
    if !view.is_served {
        server::spawn(context, &view.folder, &view.state.name.parse()?)?;
        let cancel = &context.environment.cancel;
        view.folder.wait_for_server(SERVER_LIMIT, cancel)?;
    }
    Ok(instant::go_on(platform, view)?)
}

fn platform_of(view: &InstantView) -> PlatformArguments {
    PlatformArguments {
        platform: Some(view.state.platform.clone()),
    }
}

fn promote(context: &Context, arguments: &InstantPromoteArguments) -> Result<u8> {
    let mut view = find(&arguments.state, &arguments.name)?;
    let to = placement(&arguments.to)?;
    let platform = context.open_platform(&platform_of(&view))?;
    if serve_again(context, &*platform, &view)? == VmState::Off {
        let message = format!(
            "{} is off, and its disks are moved while it runs: start it, and promote it again",
            view.state.name
        );
        return Err(Error::new(ErrorKind::Busy, message));
    }
    let environment = &context.environment;
    let mut last: Option<(DiskName, u64)> = None;
    let mut told = |disk: &DiskName, done: u64, end: u64| {
        let tenth = (done * 10).checked_div(end).unwrap_or(0);
        if last.as_ref() != Some(&(disk.clone(), tenth)) {
            let (done, end) = (ByteCount(done), ByteCount(end));
            context
                .output
                .detail_aside(format!("{disk}: {done} of {end}"));
            last = Some((disk.clone(), tenth));
        }
    };
    let clock = (&*environment.clock, &environment.cancel);
    instant::promote(&*platform, &mut view, &to, clock, &mut told)?;
    view.folder.stop_server(STOP_LIMIT)?;
    view.folder.remove()?;
    let name = &view.state.name;
    context
        .output
        .result(format!("{name} runs from its own disks now"))?;
    Ok(0)
}

fn discard(context: &Context, arguments: &InstantNameArguments) -> Result<u8> {
    let view = find(&arguments.state, &arguments.name)?;
    let platform = context.open_platform(&platform_of(&view))?;
    instant::discard(&*platform, &view, STOP_LIMIT)?;
    let name = &view.state.name;
    context
        .output
        .result(format!("{name} and everything it wrote is removed"))?;
    Ok(0)
}

//! `lifeboat machine`: machines on a platform.

mod backup;
pub(super) mod recover;

use std::collections::BTreeMap;

use lifeboat_control::{Rule, Selection};
use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_platform::{Inventory, Platform, Severity, Vm};
use serde::Serialize;

use crate::args::{MachineCommand, MachineLsArguments, PlatformArguments, SelectionArguments};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::tables::{Table, count, shown};

/// Runs a command about machines.
pub(crate) fn run(context: &Context, command: &MachineCommand) -> Result<u8> {
    match command {
        MachineCommand::Ls(arguments) => list(context, arguments),
        MachineCommand::Backup(arguments) => backup::run(context, arguments),
        MachineCommand::Recover(arguments) => recover::run(context, arguments),
    }
}

#[derive(Serialize)]
struct DiskLine<'a> {
    name: &'a str,
    size: Option<u64>,
    format: Option<String>,
    place: &'a str,
    passed_over: Option<&'a str>,
}

#[derive(Serialize)]
struct MachineLine<'a> {
    name: &'a str,
    id: &'a str,
    state: String,
    title: Option<&'a str>,
    tags: &'a BTreeMap<String, String>,
    disks: Vec<DiskLine<'a>>,
    /// Jobs of the configuration that mean it, where the platform is `@NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<String>,
}

fn list(context: &Context, arguments: &MachineLsArguments) -> Result<u8> {
    let platform = context.open_platform(&arguments.platform)?;
    let inventory = inventory(context, &*platform)?;
    let selection = parse(&arguments.selection)?;
    let machines = chosen(&selection, &inventory)?;
    if context.output.is_json() {
        let jobs = jobs(context, &arguments.platform)?;
        let lines: Vec<MachineLine<'_>> = machines.iter().map(|vm| line(vm, &jobs)).collect();
        context.output.json(&lines)?;
        return Ok(0);
    }
    let mut table = Table::new(&["Machine", "State", "Disk", ">Size", "Format", "Place"]);
    for vm in &machines {
        rows(&mut table, vm);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    context.output.tell(count(machines.len(), "machine"))?;
    Ok(0)
}

/// One row for each disk; the machine stands in the first.
fn rows(table: &mut Table, vm: &Vm) {
    let mut head = [vm.name.to_string(), vm.state.to_string()];
    if vm.disks.is_empty() {
        let none = ["no disks", "", "", ""].map(str::to_owned);
        table.row(head.iter().cloned().chain(none));
    }
    for disk in &vm.disks {
        let size = disk.size.map(|size| ByteCount(size).to_string());
        let format = disk.format.map(|format| format.to_string());
        let place = match &disk.passed_over {
            Some(why) => format!("{} ({why})", shown(&disk.place)),
            None => shown(&disk.place),
        };
        let [name, state] = std::mem::take(&mut head);
        let size = size.unwrap_or_default();
        table.row([
            name,
            state,
            disk.name.to_string(),
            size,
            format.unwrap_or_default(),
            place,
        ]);
    }
}

/// The jobs of the configuration that take machines of a platform, by what they select.
fn jobs(context: &Context, platform: &PlatformArguments) -> Result<Vec<(String, Selection)>> {
    let name = platform.platform.as_deref();
    let Some(name) = name.and_then(|name| name.strip_prefix('@')) else {
        return Ok(Vec::new());
    };
    let jobs = context.jobs_on(name)?.into_iter();
    jobs.map(|(name, text)| Ok((name, text.parse()?.selection)))
        .collect()
}

fn line<'v>(vm: &'v Vm, jobs: &[(String, Selection)]) -> MachineLine<'v> {
    let disks = vm.disks.iter().map(|disk| DiskLine {
        name: disk.name.as_str(),
        size: disk.size,
        format: disk.format.map(|format| format.to_string()),
        place: &disk.place,
        passed_over: disk.passed_over.as_deref(),
    });
    MachineLine {
        name: vm.name.as_str(),
        id: vm.id.as_str(),
        state: vm.state.to_string(),
        title: vm.title.as_deref(),
        tags: &vm.tags,
        disks: disks.collect(),
        jobs: jobs
            .iter()
            .filter(|(_, selection)| !selection.of(std::slice::from_ref(vm)).is_empty())
            .map(|(name, _)| name.clone())
            .collect(),
    }
}

/// All machines of a platform; what cannot be protected is a warning.
fn inventory(context: &Context, platform: &dyn Platform) -> Result<Inventory> {
    let inventory = platform.inventory()?;
    for finding in &inventory.findings {
        match finding.severity {
            Severity::Warning => context.output.warn(&finding.text),
            Severity::Note => context.output.detail_aside(&finding.text),
        }
    }
    Ok(inventory)
}

fn parse(arguments: &SelectionArguments) -> Result<Selection> {
    let rules = |list: &[String]| -> Result<Vec<Rule>> {
        list.iter().map(|text| Ok(text.parse()?)).collect()
    };
    Ok(Selection {
        wanted: rules(&arguments.machines)?,
        but: rules(&arguments.all_but)?,
    })
}

/// Looks whether a configured platform has machines of these names.
///
/// Errors: `NotFound` if it has not; those of the platform.
pub(super) fn are_there(context: &Context, platform: &str, machines: &[String]) -> Result<()> {
    let place = PlatformArguments {
        platform: Some(format!("@{platform}")),
    };
    let inventory = context.open_platform(&place)?.inventory()?;
    let selection = parse(&SelectionArguments {
        machines: machines.to_vec(),
        all_but: Vec::new(),
    })?;
    chosen(&selection, &inventory).map(drop)
}

/// The machines that are meant; one that was named and is not there is an error.
fn chosen<'a>(selection: &Selection, inventory: &'a Inventory) -> Result<Vec<&'a Vm>> {
    if let Some(missing) = selection.missing(&inventory.vms).first() {
        let (Rule::Name(name) | Rule::Id(name) | Rule::Tag(name, _)) = missing;
        let message = format!(
            "no machine \"{}\": 'lifeboat machine ls' lists them",
            shown(name)
        );
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(selection.of(&inventory.vms))
}

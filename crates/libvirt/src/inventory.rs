//! The list of machines.

use lifeboat_platform::{Finding, Inventory, Result, Vm, VmDisk, VmId, VmState};

use crate::binding::{Connection, DefinitionKind, Domain, DomainState};
use crate::definition::{DefinedDisk, Definition};

/// Lists every machine; one that cannot be read is a finding.
pub(crate) fn list(connection: &Connection, uri: &str) -> Result<Inventory> {
    let domains = connection
        .domains()
        .map_err(|failure| failure.of("listing the machines of", uri))?;
    let mut inventory = Inventory::default();
    for domain in &domains {
        match describe(domain) {
            Ok(vm) => inventory.vms.push(vm),
            Err(Unfit::Gone) => {}
            Err(Unfit::Because(reason)) => inventory.findings.push(Finding::warning(format!(
                "machine \"{}\" cannot be protected: {reason}",
                domain.name().escape_debug()
            ))),
        }
    }
    inventory.vms.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(inventory)
}

/// Why a machine is not in the list.
enum Unfit {
    /// It went away meanwhile.
    Gone,
    Because(String),
}

fn describe(domain: &Domain) -> std::result::Result<Vm, Unfit> {
    let failed = |failure: crate::binding::Failure| match failure.code {
        crate::binding::Code::NO_DOMAIN => Unfit::Gone,
        _ => Unfit::Because(failure.to_string()),
    };
    let because = |error: &dyn std::fmt::Display| Unfit::Because(error.to_string());
    let xml = domain.xml(DefinitionKind::Present).map_err(failed)?;
    let definition = Definition::parse(&xml).map_err(|e| because(&e))?;
    let name = definition.name.parse().map_err(|e| because(&e))?;
    let disks = definition.disks.iter();
    Ok(Vm {
        id: VmId::new(domain.uuid().map_err(failed)?),
        name,
        state: state(domain.state().map_err(failed)?),
        title: definition.title.clone(),
        tags: definition.tags.clone(),
        disks: disks.filter_map(|disk| listed(domain, disk)).collect(),
    })
}

/// libvirt allows no name of a disk that is none here.
fn listed(domain: &Domain, disk: &DefinedDisk) -> Option<VmDisk> {
    let passed_over = disk.passed_over();
    let size = match passed_over {
        None => domain.disk_size(&disk.target).ok().filter(|size| *size > 0),
        Some(_) => None,
    };
    Some(VmDisk {
        name: disk.target.parse().ok()?,
        size,
        format: disk.format(),
        place: disk.place(),
        passed_over,
    })
}

pub(crate) fn state(state: DomainState) -> VmState {
    match state {
        DomainState::Running => VmState::Running,
        DomainState::Paused { .. } => VmState::Paused,
        DomainState::Off => VmState::Off,
        DomainState::ShuttingDown | DomainState::Crashed | DomainState::Other => VmState::Unsettled,
    }
}

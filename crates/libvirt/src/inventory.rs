//! The list of machines.

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Finding, Inventory, Result, Vm, VmDisk, VmId, VmState};

use crate::binding::{Code, Connection, DefinitionKind, Domain, DomainState, Failure};
use crate::definition::{DefinedDisk, Definition};

/// Lists every machine; one that cannot be protected is a finding.
///
/// Errors: also when libvirt goes away in the middle, for a machine that is not in the list is
/// taken for gone.
pub(crate) fn list(connection: &Connection, uri: &str) -> Result<Inventory> {
    let domains = connection
        .domains()
        .map_err(|failure| failure.of_connection("listing the machines of", uri))?;
    let mut inventory = Inventory::default();
    for domain in &domains {
        match describe(domain) {
            Ok(vm) => inventory.vms.push(vm),
            Err(Unfit::Gone) => {}
            Err(Unfit::Unknown(failure)) => {
                return Err(failure.of_connection("listing the machines of", uri));
            }
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
    /// Nobody answers.
    Unknown(Failure),
    Because(String),
}

fn describe(domain: &Domain) -> std::result::Result<Vm, Unfit> {
    let failed = |failure: Failure| match (failure.code, failure.kind()) {
        (Code::NO_DOMAIN, _) => Unfit::Gone,
        (_, ErrorKind::Io | ErrorKind::Unreachable) => Unfit::Unknown(failure),
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

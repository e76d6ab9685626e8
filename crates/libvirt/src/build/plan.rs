//! What building a machine will do.

use std::path::{Path, PathBuf};

use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    BuildPlan, BuildRequest, DescribingFile, Error, Finding, Occupied, PlannedDisk, Replaced,
    Result, VmId,
};

use crate::access::Access;
use crate::binding::{Connection, Domain, Failure};
use crate::capture::{DEFINITION_FILE, NVRAM_FILE, marks_of_ours};
use crate::definition::{Definition, child, parse};
use crate::host::{FileKind, Host};

use super::identity::{Taken, decide};
use super::interfaces;
use super::place;
use super::rewrite::{NewDisk, Wish, rewrite};

/// Plans a machine; changes nothing.
pub(crate) fn plan(access: &Access, request: &BuildRequest) -> Result<BuildPlan> {
    let host = access.host()?;
    let host = host.as_ref();
    host.require()?;
    let connection = access.connection()?;
    let (xml, nvram) = described(request)?;
    let old = Definition::parse(&xml)?;
    let mut findings = Vec::new();
    let replaced = make_way(access, &connection, request, &mut findings)?;
    let taken = Taken::here(&connection, replaced.as_ref().map(|it| &it.id))?;
    let identity = decide(request.identity, &old, &taken, access.entropy.as_ref())?;
    if identity.uuid.is_some() {
        findings.push(Finding::note("it gets a new UUID"));
    }
    if !identity.replaced.is_empty() {
        findings.push(Finding::note("it gets new MAC addresses"));
    }
    let disks = request.disks.iter();
    let disks: Vec<PlannedDisk> = disks
        .map(|disk| place::plan((&connection, host), &request.name, disk))
        .collect::<Result<_>>()?;
    let new = disks.iter().map(|disk| {
        Ok(NewDisk {
            name: disk.name.clone(),
            format: disk.format,
            source: place::find((&connection, host), &request.name, disk)?.source(),
        })
    });
    let new: Vec<NewDisk> = new.collect::<Result<_>>()?;
    let nvram_path = nvram.as_ref();
    let nvram_path = nvram_path.map(|_| nvram_place(host, &old, &disks, &request.name));
    let nvram_path = nvram_path.transpose()?;
    let wish = Wish {
        name: &request.name,
        identity: &identity,
        disks: &new,
        networks: &request.networks,
        nvram: nvram_path.filter(|_| old.nvram.is_some()),
    };
    let (definition, changed) = rewrite(&xml, &wish, &taken, access.entropy.as_ref())?;
    require_networks(&connection, &definition)?;
    findings.extend(changed);
    let files: Vec<_> = nvram.filter(|_| wish.nvram.is_some()).into_iter().collect();
    Ok(BuildPlan {
        steps: steps(request, &disks, replaced.as_ref(), wish.nvram.as_deref()),
        name: request.name.clone(),
        definition,
        files,
        disks,
        replaced,
        findings,
    })
}

/// The definition and the firmware's variables among the describing files.
fn described(request: &BuildRequest) -> Result<(String, Option<DescribingFile>)> {
    let failed = || Error::new(ErrorKind::Invalid, "building", request.name.as_str());
    let find = |name| request.files.iter().find(|it| it.name == name);
    let definition = find(DEFINITION_FILE)
        .ok_or_else(|| failed().seen("the snapshot has no machine.xml of libvirt"))?;
    let xml = String::from_utf8(definition.content.clone())
        .map_err(|cause| failed().seen("its machine.xml is no text").because(cause))?;
    Ok((xml, find(NVRAM_FILE).cloned()))
}

/// What happens to a machine of the same name.
fn make_way(
    access: &Access,
    connection: &Connection,
    request: &BuildRequest,
    findings: &mut Vec<Finding>,
) -> Result<Option<Replaced>> {
    let name = request.name.as_str();
    let failed = |failure: Failure| failure.of("looking up the machine", name);
    let Some(there) = connection.domain_by_name(name).map_err(failed)? else {
        return Ok(None);
    };
    if request.occupied == Occupied::Refuse {
        return Err(Error::new(ErrorKind::Exists, "building", name).seen(
            "there is a machine of this name: choose another with --as, or set the old one \
             aside with --replace",
        ));
    }
    let id = VmId::new(there.uuid().map_err(failed)?);
    refuse_unmovable(&there, &id, name)?;
    if !marks_of_ours(&there, &id)?.is_empty() {
        findings.push(Finding::note(
            "setting the old machine aside removes its checkpoints: if it is put back, its next \
             backup reads everything",
        ));
    }
    let stamp = access.clock.now().strftime("%Y%m%d-%H%M%S").to_string();
    let kept: String = name.chars().take(60).collect();
    let aside = format!("{}-aside-{stamp}", kept.trim_end());
    let aside: VmName = aside
        .parse()
        .map_err(|cause| Error::new(ErrorKind::Invalid, "setting aside", name).because(cause))?;
    Ok(Some(Replaced { id, aside }))
}

/// libvirt renames no machine with snapshots or checkpoints; those of others are not ours to
/// remove.
fn refuse_unmovable(there: &Domain, id: &VmId, name: &str) -> Result<()> {
    let failed = |failure: Failure| failure.of("looking at the machine", name);
    let refused = |seen: &str| {
        Err(Error::new(ErrorKind::Unsupported, "setting aside", name).seen(seen.to_owned()))
    };
    if there.snapshot_count().map_err(failed)? > 0 {
        return refused("it has snapshots of libvirt; delete them, or choose another name");
    }
    let all = there.checkpoints().map_err(failed)?.len();
    if all > marks_of_ours(there, id)?.len() {
        return refused("it has checkpoints of another program; delete them with that program");
    }
    Ok(())
}

/// The old place where there is such a folder, else beside the first disk.
fn nvram_place(
    host: &dyn Host,
    old: &Definition,
    disks: &[PlannedDisk],
    name: &VmName,
) -> Result<PathBuf> {
    let before = old.nvram.as_deref().and_then(Path::parent);
    let first = disks
        .iter()
        .map(|disk| Path::new(&disk.place))
        .find_map(Path::parent);
    let is_there = match before {
        Some(folder) => host.kind(folder)? == FileKind::Folder,
        None => false,
    };
    let folder = before.filter(|_| is_there).or(first);
    let folder = folder.unwrap_or(Path::new("/var/lib/libvirt/qemu/nvram"));
    let numbered = (0..).map(|number| match number {
        0 => folder.join(format!("{name}_VARS.fd")),
        number => folder.join(format!("{name}_VARS-{number}.fd")),
    });
    for path in numbered.take(1000) {
        if host.kind(&path)? == FileKind::Absent {
            return Ok(path);
        }
    }
    let error = Error::new(
        ErrorKind::Exists,
        "placing the firmware's variables in",
        name.as_str(),
    );
    Err(error.seen("a thousand names are taken there; remove what is not needed"))
}

fn require_networks(connection: &Connection, definition: &str) -> Result<()> {
    let document = parse(definition, "a machine's definition")?;
    match child(document.root_element(), "devices") {
        Some(devices) => interfaces::require(connection, devices),
        None => Ok(()),
    }
}

fn steps(
    request: &BuildRequest,
    disks: &[PlannedDisk],
    replaced: Option<&Replaced>,
    nvram: Option<&Path>,
) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(replaced) = replaced {
        steps.push(format!(
            "stop {} and keep it as {}",
            request.name, replaced.aside
        ));
    }
    for disk in disks {
        let (name, size) = (&disk.name, lifeboat_model::ByteCount(disk.size));
        steps.push(format!(
            "{name}: {size}, {}, at {}",
            disk.format, disk.place
        ));
    }
    if let Some(nvram) = nvram {
        steps.push(format!("firmware's variables at {}", nvram.display()));
    }
    steps.push(format!("define {}", request.name));
    steps
}

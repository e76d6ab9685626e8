//! Whether platforms answer, and whether the tools are there that they need.

use std::collections::BTreeMap;
use std::path::Path;

use lifeboat_config::{Config, PlatformEntry};
use lifeboat_control::Job;
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Inventory, Severity, Vm};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Check;
use super::repositories::program;
use crate::context::Context;
use crate::tables::count;

/// Disks that cannot be read are told one by one up to so many.
const DISKS_MAX: usize = 20;

/// The device of file systems of programs.
const FUSE: &str = "/dev/fuse";
/// Starts the VM that reads files inside disks.
const RESCUE: &str = "qemu-system-x86_64";

/// A tool: its Debian package, and what needs it.
type Tool = (&'static str, &'static str);

/// Looks at every platform of the configuration, and at the tools that they need.
pub(super) fn look(context: &Context, config: &Config<Job>, checks: &mut Vec<Check>) {
    let mut tools: BTreeMap<&str, Tool> = BTreeMap::new();
    tools.insert("fusermount3", ("fuse3", "'lifeboat files mount'"));
    tools.insert(RESCUE, ("qemu-system-x86", "what reads files inside disks"));
    for (name, entry) in &config.platforms {
        if let Some(why) = &entry.carried_over {
            checks.push(Check::skipped(("platform.reach", name), why));
            continue;
        }
        let beginning = |start: &str| entry.uri.starts_with(start);
        if entry.uri.contains("+ssh:") {
            tools.insert("ssh", ("openssh-client", "platforms with +ssh"));
        }
        if beginning("lvm") || beginning("self:") {
            tools.insert("lvm", ("lvm2", "snapshots of logical volumes"));
        }
        one(context, (name, entry), checks);
    }
    checks.extend(tools.into_iter().map(|(name, tool)| of_tool(name, tool)));
    checks.push(fuse());
}

fn of_tool(name: &'static str, (package, needs): Tool) -> Check {
    let about = ("tool", name);
    match program(name) {
        Some(path) => Check::well(about, path.display().to_string()),
        None => {
            let seen = format!("{needs} needs it, and it is not there");
            let advice = format!("apt-get install {package}");
            match name {
                "fusermount3" | RESCUE => Check::warning(about, seen, advice),
                _ => Check::wrong(about, seen, advice),
            }
        }
    }
}

/// Whether the kernel takes file systems of programs.
fn fuse() -> Check {
    let about = ("tool", FUSE);
    match Path::new(FUSE).exists() {
        true => Check::well(about, "the kernel offers it"),
        false => Check::warning(
            about,
            "it is not there, and 'lifeboat files mount' needs it",
            "modprobe fuse; a container is given it by whoever starts it",
        ),
    }
}

fn one(context: &Context, (name, entry): (&str, &PlatformEntry), checks: &mut Vec<Check>) {
    let about = ("platform.reach", name);
    let opened = (context.wiring.open_platform)(&entry.uri, None);
    let seen = opened.and_then(|platform| platform.inventory());
    match seen {
        Err(error) => {
            let advice = advice(error.kind(), (name, &entry.uri));
            let seen = crate::error::Error::from(error).to_string();
            checks.push(Check::wrong(about, seen, advice));
        }
        Ok(inventory) => {
            let machines = count(inventory.vms.len(), "machine");
            checks.push(Check::well(
                about,
                format!("{} shows {machines}", entry.uri),
            ));
            found(name, entry, &inventory, checks);
        }
    }
}

fn advice(kind: ErrorKind, (name, uri): (&str, &str)) -> String {
    let schemes = ["qemu:", "qemu+", "test:", "libvirt:"];
    let is_of_libvirt = schemes.iter().any(|scheme| uri.starts_with(scheme));
    match kind {
        ErrorKind::Denied if uri.contains("ssh") => {
            "let this user's key in on that host, and into its group libvirt".to_owned()
        }
        ErrorKind::Denied => "run it as root, or join the group libvirt".to_owned(),
        ErrorKind::Unsupported if is_of_libvirt => "apt-get install libvirt0".to_owned(),
        ErrorKind::Unsupported | ErrorKind::Invalid => {
            format!("change uri in [platforms.{name}] of the configuration")
        }
        _ if is_of_libvirt => format!("look whether it runs: 'virsh -c {uri} list'"),
        _ => "look whether what the uri names is there".to_owned(),
    }
}

fn found(name: &str, entry: &PlatformEntry, inventory: &Inventory, checks: &mut Vec<Check>) {
    for finding in &inventory.findings {
        if finding.severity == Severity::Warning {
            let advice = "machines that are not understood are not backed up";
            checks.push(Check::warning(
                ("platform.finding", name),
                &finding.text,
                advice,
            ));
        }
    }
    if is_this_computer(&entry.uri) {
        disks(name, &inventory.vms, checks);
    }
}

/// Disks of this computer that cannot be read, the first of them; and whether they are not there.
pub(crate) fn unreadable(machines: &[Vm]) -> impl Iterator<Item = (String, bool)> {
    let disks = machines.iter().flat_map(|machine| &machine.disks);
    let refused = disks.filter_map(|disk| {
        let error = access(Path::new(&disk.place), Access::READ_OK).err()?;
        let seen = format!("cannot read {}: {error}", disk.place);
        Some((seen, error == Errno::NOENT))
    });
    refused.take(DISKS_MAX)
}

/// Whether a platform's disks are those of this computer.
pub(crate) fn is_this_computer(uri: &str) -> bool {
    ["plain:", "self:", "lvm:"]
        .iter()
        .any(|it| uri.starts_with(it))
}

/// Whether the disks of this computer can be read.
fn disks(name: &str, machines: &[Vm], checks: &mut Vec<Check>) {
    let refused: Vec<String> = unreadable(machines).map(|(seen, _)| seen).collect();
    let all: usize = machines.iter().map(|machine| machine.disks.len()).sum();
    if all == 0 {
        let about = ("platform.disks", name);
        let advice = "a job of this platform backs nothing up: look whether its volumes are there";
        checks.push(Check::warning(about, "it has no disk", advice));
    } else if refused.is_empty() {
        let seen = format!("{} can be read", count(all, "disk"));
        checks.push(Check::well(("platform.disks", name), seen));
    }
    for seen in refused {
        let advice = "look whether it is there; reading devices needs root or the group disk";
        checks.push(Check::wrong(("platform.disks", name), seen, advice));
    }
}

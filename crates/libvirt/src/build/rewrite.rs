//! A captured definition as the definition of a new machine.
//!
//! Everything that this does not name stays as it was written: what this version does not
//! understand is libvirt's to judge.

use std::collections::BTreeSet;
use std::path::PathBuf;

use lifeboat_disk::ImageFormat;
use lifeboat_model::{DiskName, Entropy, ErrorKind, VmName};
use lifeboat_platform::{Error, Finding, NetworkMapping, Result};
use roxmltree::Node;

use crate::capture::escaped;
use crate::definition::{child, children, parse};

use super::edit::Edits;
use super::identity::{NewIdentity, Taken, address};
use super::interfaces;

/// Where a disk of the new machine is.
#[derive(Clone, Debug)]
pub(crate) enum NewSource {
    File(PathBuf),
    Device(PathBuf),
    /// An export, at a socket or at a host and port.
    Nbd {
        export: String,
        socket: Option<PathBuf>,
        host: Option<(String, u16)>,
    },
}

/// A disk of the new machine.
#[derive(Clone, Debug)]
pub(crate) struct NewDisk {
    pub(crate) name: DiskName,
    pub(crate) format: ImageFormat,
    pub(crate) source: NewSource,
}

/// What the new machine shall be.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a VmName,
    pub(crate) identity: &'a NewIdentity,
    pub(crate) disks: &'a [NewDisk],
    pub(crate) networks: &'a [NetworkMapping],
    /// The file of the firmware's variables; nothing lets libvirt make one.
    pub(crate) nvram: Option<PathBuf>,
}

/// Rewrites a definition.
///
/// Errors: `Invalid` for what is no definition; `NotFound` for a disk that it does not have.
pub(crate) fn rewrite(
    xml: &str,
    wish: &Wish<'_>,
    taken: &Taken,
    entropy: &dyn Entropy,
) -> Result<(String, Vec<Finding>)> {
    let document = parse(xml, "a machine's definition")?;
    let root = document.root_element();
    let failed = |kind| Error::new(kind, "rewriting the definition of", wish.name.as_str());
    let name = child(root, "name").filter(|_| root.has_tag_name("domain"));
    let name =
        name.ok_or_else(|| failed(ErrorKind::Invalid).seen("it is no <domain> with a <name>"))?;
    let devices = child(root, "devices")
        .ok_or_else(|| failed(ErrorKind::Invalid).seen("it has no <devices>"))?;
    let (mut edits, mut findings) = (Edits::default(), Vec::new());
    edits.unset(root, "id");
    let called = escaped(wish.name.as_str());
    edits.replace(name, format!("<name>{called}</name>"));
    set_uuid(root, name, wish.identity, &mut edits);
    children(root, "seclabel").for_each(|it| edits.remove(it));
    if let Some(os) = child(root, "os") {
        set_nvram(os, wish, &mut edits, &mut findings);
    }
    set_disks(devices, wish, &mut edits, &mut findings)?;
    let mut addresses: BTreeSet<String> = taken.addresses.clone();
    for interface in children(devices, "interface") {
        interfaces::connect(interface, wish.networks, &mut edits, &mut findings);
        set_address(
            interface,
            wish.identity,
            &mut addresses,
            entropy,
            &mut edits,
        );
    }
    forget_the_host(devices, &mut edits, &mut findings);
    Ok((edits.apply(xml), findings))
}

fn set_uuid(root: Node<'_, '_>, name: Node<'_, '_>, new: &NewIdentity, edits: &mut Edits) {
    let Some(uuid) = &new.uuid else { return };
    let text = format!("<uuid>{uuid}</uuid>");
    match child(root, "uuid") {
        Some(old) => edits.replace(old, text),
        None => edits.insert_after(name, text),
    }
    // The firmware would show the old one; libvirt refuses two that differ.
    let system = child(root, "sysinfo").and_then(|it| child(it, "system"));
    let entries = system.into_iter().flat_map(|it| children(it, "entry"));
    entries
        .filter(|entry| entry.attribute("name") == Some("uuid"))
        .for_each(|entry| edits.remove(entry));
}

fn set_nvram(os: Node<'_, '_>, wish: &Wish<'_>, edits: &mut Edits, findings: &mut Vec<Finding>) {
    let Some(nvram) = child(os, "nvram") else {
        return;
    };
    let Some(path) = &wish.nvram else {
        edits.remove(nvram);
        findings.push(Finding::warning(
            "the firmware's variables were not kept: it begins with new ones, and may have to be \
             told what to boot",
        ));
        return;
    };
    let kept = ["template", "templateFormat", "format"]
        .iter()
        .filter_map(|name| {
            let value = escaped(nvram.attribute(*name)?);
            Some(format!(" {name}='{value}'"))
        });
    let path = escaped(&path.display().to_string());
    edits.replace(
        nvram,
        format!("<nvram{}>{path}</nvram>", kept.collect::<String>()),
    );
}

fn set_disks(
    devices: Node<'_, '_>,
    wish: &Wish<'_>,
    edits: &mut Edits,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut missing: BTreeSet<&DiskName> = wish.disks.iter().map(|it| &it.name).collect();
    for disk in children(devices, "disk") {
        let target = child(disk, "target").and_then(|it| it.attribute("dev"));
        let target = target.unwrap_or_default();
        match wish.disks.iter().find(|it| it.name.as_str() == target) {
            Some(new) => {
                missing.remove(&new.name);
                set_disk(disk, new, edits);
            }
            None if is_removable(disk) => eject(disk, target, edits, findings),
            None => {
                edits.remove(disk);
                findings.push(Finding::note(format!("the disk {target} is left out")));
            }
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(
            Error::new(ErrorKind::NotFound, "placing the disk", name.as_str())
                .seen("the definition has no disk of that name"),
        ),
    }
}

fn is_removable(disk: Node<'_, '_>) -> bool {
    matches!(disk.attribute("device"), Some("cdrom" | "floppy"))
}

/// A medium of the old place is not here.
fn eject(disk: Node<'_, '_>, target: &str, edits: &mut Edits, findings: &mut Vec<Finding>) {
    if child(disk, "source").is_none() {
        return;
    }
    edits.set(disk, "type", "file");
    for name in ["source", "backingStore", "driver"] {
        children_of(disk, name, edits);
    }
    findings.push(Finding::note(format!("{target} has no medium")));
}

fn children_of(node: Node<'_, '_>, name: &'static str, edits: &mut Edits) {
    children(node, name).for_each(|it| edits.remove(it));
}

fn set_disk(disk: Node<'_, '_>, new: &NewDisk, edits: &mut Edits) {
    let (kind, source) = source_xml(&new.source);
    edits.set(disk, "type", kind);
    for name in [
        "source",
        "backingStore",
        "mirror",
        "encryption",
        "auth",
        "transient",
    ] {
        children_of(disk, name, edits);
    }
    let format = new.format.to_string();
    let Some(target) = child(disk, "target") else {
        return;
    };
    edits.insert_after(target, source);
    match child(disk, "driver") {
        Some(driver) => {
            edits.set(driver, "type", &format);
            // Direct I/O of threads is a property of files and devices.
            if matches!(new.source, NewSource::Nbd { .. }) {
                edits.unset(driver, "io");
                // Better still than with errors in its file systems, when the server goes away.
                edits.set(driver, "error_policy", "stop");
                edits.set(driver, "rerror_policy", "stop");
            }
        }
        None => {
            let policy = match new.source {
                NewSource::Nbd { .. } => " error_policy='stop' rerror_policy='stop'",
                _ => "",
            };
            let driver = format!("<driver name='qemu' type='{format}'{policy}/>");
            edits.insert_after(target, driver);
        }
    }
}

/// How long a machine waits for a server that went away, before it sees errors.
const RECONNECT_SECONDS: u32 = 600;

/// The kind of disk and its `<source>`.
pub(crate) fn source_xml(source: &NewSource) -> (&'static str, String) {
    let shown = |path: &PathBuf| escaped(&path.display().to_string());
    match source {
        NewSource::File(path) => ("file", format!("<source file='{}'/>", shown(path))),
        NewSource::Device(path) => ("block", format!("<source dev='{}'/>", shown(path))),
        NewSource::Nbd {
            export,
            socket,
            host,
        } => {
            let place = match (socket, host) {
                (Some(socket), _) => format!("transport='unix' socket='{}'", shown(socket)),
                (None, Some((host, port))) => {
                    format!("name='{}' port='{port}'", escaped(host))
                }
                (None, None) => String::new(),
            };
            let name = match export.as_str() {
                "" => String::new(),
                name => format!(" name='{}'", escaped(name)),
            };
            let text = format!(
                "<source protocol='nbd'{name}><host {place}/>\
                 <reconnect delay='{RECONNECT_SECONDS}'/></source>"
            );
            ("network", text)
        }
    }
}

fn set_address(
    interface: Node<'_, '_>,
    identity: &NewIdentity,
    taken: &mut BTreeSet<String>,
    entropy: &dyn Entropy,
    edits: &mut Edits,
) {
    let Some(mac) = child(interface, "mac") else {
        return;
    };
    let old = mac.attribute("address").unwrap_or_default();
    if identity.replaced.contains(&old.to_ascii_lowercase()) {
        edits.set(mac, "address", &address(entropy, taken));
    }
}

/// Removes what only the old host and the old run of the machine meant.
fn forget_the_host(devices: Node<'_, '_>, edits: &mut Edits, findings: &mut Vec<Finding>) {
    for device in devices.children().filter(Node::is_element) {
        let made = children(device, "alias")
            .filter(|it| !it.attribute("name").unwrap_or_default().starts_with("ua-"));
        made.for_each(|it| edits.remove(it));
        let labelled = child(device, "source").into_iter();
        labelled
            .flat_map(|it| children(it, "seclabel"))
            .for_each(|it| edits.remove(it));
        match device.tag_name().name() {
            "channel" => forget_socket(device, edits),
            "hostdev" => findings.push(Finding::warning(
                "the machine uses a device of its host (hostdev), which may not be here",
            )),
            "filesystem" => findings.push(Finding::warning(
                "the machine shares a folder of its host, which may not be here",
            )),
            _ => {}
        }
    }
}

/// libvirt makes the sockets of channels below a folder of the machine's number and name.
fn forget_socket(channel: Node<'_, '_>, edits: &mut Edits) {
    let source = child(channel, "source").filter(|it| {
        let path = it.attribute("path").unwrap_or_default();
        path.contains("/channel/") && path.contains("libvirt")
    });
    source.into_iter().for_each(|it| edits.remove(it));
}

#[cfg(test)]
mod tests;

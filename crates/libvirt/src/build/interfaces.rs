//! Network interfaces of a rewritten definition.

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Finding, NetworkMapping, Result};
use roxmltree::Node;

use crate::binding::Connection;
use crate::definition::child;

use super::edit::Edits;

/// The attribute of `<source>` that names the network, for kinds that have a name.
fn naming(kind: &str) -> Option<&'static str> {
    match kind {
        "network" => Some("network"),
        "bridge" => Some("bridge"),
        "direct" => Some("dev"),
        _ => None,
    }
}

/// Connects an interface as the mapping says.
pub(crate) fn connect(
    interface: Node<'_, '_>,
    networks: &[NetworkMapping],
    edits: &mut Edits,
    findings: &mut Vec<Finding>,
) {
    let kind = interface.attribute("type").unwrap_or_default();
    let (source, target) = (child(interface, "source"), child(interface, "target"));
    // Names as vnet0 are made anew at each start.
    target.into_iter().for_each(|it| edits.remove(it));
    let Some((source, name)) = source.zip(naming(kind)) else {
        return;
    };
    for name in ["portid", "bridge"].iter().filter(|it| **it != name) {
        edits.unset(source, name);
    }
    let named = source.attribute(name).unwrap_or_default();
    let Some(mapping) = networks.iter().find(|it| it.from == named) else {
        return;
    };
    match &mapping.to {
        Some(to) => edits.set(source, name, to),
        None => {
            disconnect(interface, edits);
            findings.push(Finding::note(format!(
                "the interface on \"{named}\" is not connected"
            )));
        }
    }
}

/// The machine keeps the device, without a link.
fn disconnect(interface: Node<'_, '_>, edits: &mut Edits) {
    edits.set(interface, "type", "user");
    for name in [
        "virtualport",
        "filterref",
        "vlan",
        "link",
        "port",
        "bandwidth",
    ] {
        child(interface, name)
            .into_iter()
            .for_each(|it| edits.remove(it));
    }
    if let Some(source) = child(interface, "source") {
        edits.replace(source, "<link state='down'/>".into());
    }
}

/// Every network and bridge that a definition names must be here.
///
/// Errors: `NotFound`, with what to do.
pub(crate) fn require(connection: &Connection, devices: Node<'_, '_>) -> Result<()> {
    for interface in devices.children().filter(|it| it.has_tag_name("interface")) {
        let kind = interface.attribute("type").unwrap_or_default();
        let Some(name) = naming(kind) else { continue };
        let named = child(interface, "source").and_then(|source| source.attribute(name));
        let Some(named) = named else { continue };
        let is_here = match kind {
            "network" => connection.require_network(named).is_ok(),
            _ => std::path::Path::new("/sys/class/net").join(named).exists(),
        };
        if !is_here {
            return Err(
                Error::new(ErrorKind::NotFound, "connecting to", named).seen(format!(
                    "there is no such {kind} here; say which one to use instead, or none"
                )),
            );
        }
    }
    Ok(())
}

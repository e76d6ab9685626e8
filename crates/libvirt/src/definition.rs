//! What a machine's definition says, as far as a capture or an inventory needs it.
//!
//! Takes domain XML, gives values; writes nothing.
//!
//! Source: libvirt's documentation, "Domain XML format".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lifeboat_disk::ImageFormat;
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};
use roxmltree::{Document, Node, ParsingOptions};

/// The namespace of what people tell us about a machine:
/// `<tags xmlns="urn:lifeboat:tags"><tag key="class" value="gold"/></tags>` in its metadata.
pub const TAGS_NAMESPACE: &str = "urn:lifeboat:tags";

/// Limit: bytes of a definition; libvirt's own is 10 MiB for a message.
const XML_BYTES_MAX: usize = 8 << 20;
/// Limit: elements, attributes and texts of a definition.
const XML_NODES_MAX: u32 = 200_000;
/// Limit: tags of one machine.
const TAGS_MAX: usize = 256;

/// A machine as its XML describes it.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) title: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) disks: Vec<DefinedDisk>,
    /// The file of the firmware's variables.
    pub(crate) nvram: Option<PathBuf>,
    pub(crate) has_tpm: bool,
    pub(crate) has_agent: bool,
    /// MAC addresses, as written.
    pub(crate) addresses: Vec<String>,
}

/// A disk as the XML describes it.
#[derive(Clone, Debug)]
pub(crate) struct DefinedDisk {
    /// The name inside the machine, as in `vda`.
    pub(crate) target: String,
    /// `disk`, `cdrom`, `floppy`, `lun`.
    pub(crate) device: String,
    pub(crate) source: DiskSource,
    /// `raw`, `qcow2` and others that QEMU knows.
    pub(crate) driver: Option<String>,
    pub(crate) is_read_only: bool,
    pub(crate) is_shared: bool,
    pub(crate) is_transient: bool,
}

/// Where a disk is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskSource {
    Nothing,
    File(PathBuf),
    Device(PathBuf),
    Volume {
        pool: String,
        volume: String,
    },
    /// `socket` is that of a server on this host.
    Network {
        protocol: String,
        name: String,
        socket: Option<String>,
    },
    Other(String),
}

/// Parses XML that may be hostile.
///
/// Errors: `Invalid`.
pub(crate) fn parse<'a>(xml: &'a str, what: &'static str) -> Result<Document<'a>> {
    let failed = || Error::new(ErrorKind::Invalid, "reading", what);
    if xml.len() > XML_BYTES_MAX {
        return Err(failed().seen(format!("it has more than {XML_BYTES_MAX} bytes")));
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: XML_NODES_MAX,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(xml, options).map_err(|cause| failed().because(cause))
}

/// The first child element of that name.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// Child elements of that name.
pub(crate) fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children()
        .filter(move |child| child.has_tag_name(name))
}

/// The text of the first child element of that name, trimmed; nothing if empty.
pub(crate) fn text_of(node: Node<'_, '_>, name: &str) -> Option<String> {
    let text = child(node, name)?.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Definition {
    /// Errors: `Invalid` for what is no definition of a machine.
    pub(crate) fn parse(xml: &str) -> Result<Self> {
        let document = parse(xml, "a machine's definition")?;
        let root = document.root_element();
        let name = text_of(root, "name").filter(|_| root.has_tag_name("domain"));
        let name = name.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "reading", "a machine's definition")
                .seen("it is no <domain> with a <name>")
        })?;
        let devices = child(root, "devices");
        let of_kind =
            |kind: &'static str| devices.into_iter().flat_map(move |it| children(it, kind));
        Ok(Self {
            name,
            uuid: text_of(root, "uuid").unwrap_or_default(),
            title: text_of(root, "title"),
            tags: tags(root),
            disks: of_kind("disk").filter_map(DefinedDisk::of).collect(),
            nvram: child(root, "os").and_then(nvram),
            has_tpm: of_kind("tpm").next().is_some(),
            has_agent: of_kind("channel").any(is_agent),
            addresses: of_kind("interface").filter_map(address).collect(),
        })
    }
}

impl DefinedDisk {
    fn of(node: Node<'_, '_>) -> Option<Self> {
        let target = child(node, "target")?.attribute("dev")?.to_owned();
        let driver = child(node, "driver").and_then(|driver| driver.attribute("type"));
        Some(Self {
            target,
            device: node.attribute("device").unwrap_or("disk").to_owned(),
            source: source(node),
            driver: driver.map(str::to_owned),
            is_read_only: child(node, "readonly").is_some(),
            is_shared: child(node, "shareable").is_some(),
            is_transient: child(node, "transient").is_some(),
        })
    }

    /// The format, where it is one that is known here.
    pub(crate) fn format(&self) -> Option<ImageFormat> {
        self.driver.as_ref()?.parse().ok()
    }

    /// Why it is not captured unless asked for by name.
    pub(crate) fn passed_over(&self) -> Option<String> {
        let reason = match self.device.as_str() {
            "cdrom" | "floppy" => {
                format!("it is a {}, whose medium is kept elsewhere", self.device)
            }
            "lun" => "the machine talks to the device itself (lun)".into(),
            _ if self.source == DiskSource::Nothing => "it has no medium".into(),
            _ if self.is_read_only => "it is read-only".into(),
            _ if self.is_transient => "what is written to it goes at power-off (transient)".into(),
            _ if self.is_shared => "several machines write to it (shareable)".into(),
            _ => return None,
        };
        Some(reason)
    }

    /// The place, for people.
    pub(crate) fn place(&self) -> String {
        match &self.source {
            DiskSource::Nothing => "nowhere".into(),
            DiskSource::File(path) | DiskSource::Device(path) => path.display().to_string(),
            DiskSource::Volume { pool, volume } => format!("{pool}/{volume}"),
            DiskSource::Network {
                protocol,
                name,
                socket: Some(socket),
            } => format!("{protocol}+unix:///{name}?socket={socket}"),
            DiskSource::Network { protocol, name, .. } => format!("{protocol}:{name}"),
            DiskSource::Other(kind) => kind.clone(),
        }
    }
}

fn source(disk: Node<'_, '_>) -> DiskSource {
    let kind = disk.attribute("type").unwrap_or("file");
    let Some(source) = child(disk, "source") else {
        return DiskSource::Nothing;
    };
    let said = |name: &str| source.attribute(name).map(str::to_owned);
    let found = match kind {
        "file" => said("file").map(|path| DiskSource::File(path.into())),
        "block" => said("dev").map(|path| DiskSource::Device(path.into())),
        "volume" => said("pool")
            .zip(said("volume"))
            .map(|(pool, volume)| DiskSource::Volume { pool, volume }),
        "network" => said("protocol").map(|protocol| DiskSource::Network {
            protocol,
            name: said("name").unwrap_or_default(),
            socket: child(source, "host")
                .and_then(|host| host.attribute("socket").map(str::to_owned)),
        }),
        other => Some(DiskSource::Other(other.to_owned())),
    };
    found.unwrap_or(DiskSource::Nothing)
}

fn tags(root: Node<'_, '_>) -> BTreeMap<String, String> {
    let Some(metadata) = child(root, "metadata") else {
        return BTreeMap::new();
    };
    let ours = metadata
        .children()
        .filter(|node| node.tag_name().namespace() == Some(TAGS_NAMESPACE));
    let tags = ours.flat_map(|node| node.children());
    tags.filter(|node| node.tag_name().name() == "tag")
        .filter_map(|tag| Some((tag.attribute("key")?, tag.attribute("value")?)))
        .filter(|(key, _)| !key.is_empty())
        .take(TAGS_MAX)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The path stands as text, or since libvirt 8.5 in a `<source>`.
fn nvram(os: Node<'_, '_>) -> Option<PathBuf> {
    let node = child(os, "nvram")?;
    let inner = child(node, "source").and_then(|source| source.attribute("file"));
    let path = inner.or_else(|| node.text().map(str::trim))?;
    let path = Path::new(path);
    path.is_absolute().then(|| path.to_owned())
}

fn is_agent(channel: Node<'_, '_>) -> bool {
    let target = child(channel, "target").and_then(|target| target.attribute("name"));
    target == Some("org.qemu.guest_agent.0")
}

fn address(interface: Node<'_, '_>) -> Option<String> {
    let address = child(interface, "mac")?.attribute("address")?;
    Some(address.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain type='qemu'><name> web </name><uuid>u</uuid><title>The shop</title>
      <metadata><a:other xmlns:a='urn:other'/>
        <l:tags xmlns:l='urn:lifeboat:tags'><l:tag key='class' value='gold'/></l:tags></metadata>
      <os><nvram template='/t'>/nvram/web.fd</nvram></os>
      <devices>
        <disk type='file' device='disk'><driver type='qcow2'/><source file='/a.qcow2'/>
          <target dev='vda'/></disk>
        <disk type='block'><source dev='/dev/vg/lv'/><target dev='vdb'/><shareable/></disk>
        <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
        <disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdc'/></disk>
        <interface type='network'><mac address='52:54:00:AA:bb:01'/></interface>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      </devices></domain>";

    #[test]
    fn a_definition_gives_its_disks_and_tags() {
        let read = Definition::parse(XML).unwrap();
        assert_eq!(
            (read.name.as_str(), read.title.as_deref()),
            ("web", Some("The shop"))
        );
        assert_eq!(read.tags["class"], "gold");
        assert_eq!(read.nvram.as_deref(), Some(Path::new("/nvram/web.fd")));
        assert_eq!(read.addresses, ["52:54:00:aa:bb:01"]);
        assert!(read.has_agent && !read.has_tpm);
        let passed: Vec<_> = read
            .disks
            .iter()
            .map(|disk| disk.passed_over().is_some())
            .collect();
        assert_eq!(passed, [false, true, true, false]);
        assert_eq!(read.disks[0].format(), Some(ImageFormat::Qcow2));
        assert_eq!(read.disks[3].place(), "rbd:p/i");
    }

    #[test]
    fn hostile_definitions_are_refused() {
        let deep = format!("<domain>{}", "<a>".repeat(10));
        let entities = "<!DOCTYPE a [<!ENTITY b 'c'>]><domain><name>&b;</name></domain>";
        let long = " ".repeat(XML_BYTES_MAX + 1);
        let many = format!("<domain><name>a</name>{}</domain>", "<a/>".repeat(200_001));
        for xml in [deep.as_str(), entities, "", "<pool/>", &long, &many] {
            let error = Definition::parse(xml).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}

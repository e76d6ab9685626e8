//! What is rewritten, and what stays.

use super::*;
use crate::definition::{Definition, DiskSource};

const XML: &str = "<domain type='kvm' id='4'><name>web</name><uuid>u-1</uuid>
  <metadata><keep/></metadata>
  <os><type>hvm</type><nvram template='/t.fd' type='file'><source file='/old.fd'/></nvram></os>
  <devices>
    <disk type='network' device='disk'><driver name='qemu' type='raw' io='native' cache='none'/>
      <auth username='x'/><source protocol='rbd' name='p/i'/><backingStore/>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/><serial>s1</serial></disk>
    <disk type='file'><source file='/b'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><source file='/i.iso'/><target dev='sda'/><readonly/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/>
      <source network='default' portid='p' bridge='virbr0'/><target dev='vnet3'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>
    <channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/x'/>
      <target type='virtio' name='org.qemu.guest_agent.0'/></channel>
  </devices><seclabel type='dynamic'/></domain>";

#[derive(Debug)]
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

fn rewritten(xml: &str, disk: &str) -> Result<(String, Vec<Finding>)> {
    let name: VmName = "new <web>".parse().unwrap();
    let identity = NewIdentity {
        uuid: Some("u-2".into()),
        replaced: ["52:54:00:00:00:01".to_owned()].into(),
    };
    let disks = [NewDisk {
        name: disk.parse().unwrap(),
        format: ImageFormat::Qcow2,
        source: NewSource::File("/new/a&b".into()),
    }];
    let mapping = |from: &str, to: Option<&str>| NetworkMapping {
        from: from.into(),
        to: to.map(str::to_owned),
    };
    let wish = Wish {
        name: &name,
        identity: &identity,
        disks: &disks,
        networks: &[mapping("default", Some("lab")), mapping("br0", None)],
        nvram: Some("/new/vars.fd".into()),
    };
    rewrite(xml, &wish, &Taken::default(), &Sevens)
}

#[test]
fn a_definition_moves_to_its_new_place() {
    let (text, findings) = rewritten(XML, "vda").unwrap();
    let read = Definition::parse(&text).unwrap();
    assert_eq!(
        (read.name.as_str(), read.uuid.as_str()),
        ("new <web>", "u-2")
    );
    assert_eq!(read.nvram, Some("/new/vars.fd".into()));
    let places: Vec<_> = read.disks.iter().map(|it| it.source.clone()).collect();
    assert_eq!(
        places,
        [DiskSource::File("/new/a&b".into()), DiskSource::Nothing]
    );
    assert_eq!(read.disks[0].driver.as_deref(), Some("qcow2"));
    assert_eq!(read.addresses, ["52:54:00:07:07:07", "52:54:00:00:00:02"]);
    for kept in [
        "<keep/>",
        "<serial>s1</serial>",
        "cache='none'",
        "template='/t.fd'",
        "'lab'",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    let gone = [
        "seclabel",
        "virtio-disk0",
        "id='4'",
        "vnet3",
        "portid",
        "br0",
        "i.iso",
        "rbd",
    ];
    for gone in gone
        .iter()
        .chain(&["backingStore", "channel/target", "auth"])
    {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("<link state='down'/>"), "{text}");
    assert_eq!(findings.len(), 3, "{findings:?}");
}

#[test]
fn a_disk_that_is_not_defined_is_an_error() {
    let error = rewritten(XML, "vdz").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let long = format!("<domain><name>a</name>{}</domain>", " ".repeat(9 << 20));
    for hostile in [
        "<domain/>",
        "<x><name>a</name></x>",
        "<domain>",
        long.as_str(),
    ] {
        assert_eq!(
            rewritten(hostile, "vda").unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

//! Machines of a test's daemon, and what their disks must hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lifeboat_platform::VmId;

use super::{Daemon, give_away, qemu_img, shown};

/// Bytes of a mebibyte.
pub const MIB: u64 = 1 << 20;

/// A disk of a test's machine.
#[derive(Clone, Debug)]
pub struct TestDisk {
    /// As in `vda`.
    pub target: &'static str,
    /// `qcow2` or `raw`.
    pub format: &'static str,
    /// In bytes.
    pub size: u64,
}

/// A machine and what its disks must hold.
#[derive(Debug)]
pub struct TestMachine<'a> {
    /// Whose machine it is.
    pub daemon: &'a Daemon,
    /// In libvirt.
    pub name: String,
    /// Its UUID.
    pub id: VmId,
    /// In the order of their devices.
    pub disks: Vec<TestDisk>,
    /// All bytes of each disk, by its target.
    pub truth: BTreeMap<&'static str, Vec<u8>>,
}

/// A disk that can have bitmaps.
pub fn qcow2(target: &'static str, mebibytes: u64) -> TestDisk {
    TestDisk {
        target,
        format: "qcow2",
        size: mebibytes * MIB,
    }
}

/// A disk that cannot.
pub fn raw(target: &'static str, mebibytes: u64) -> TestDisk {
    TestDisk {
        format: "raw",
        ..qcow2(target, mebibytes)
    }
}

impl<'a> TestMachine<'a> {
    pub(super) fn define(
        daemon: &'a Daemon,
        name: &str,
        disks: &[TestDisk],
        devices: &str,
    ) -> Self {
        let mut machine = Self {
            daemon,
            name: name.to_owned(),
            id: VmId::new(""),
            disks: disks.to_vec(),
            truth: BTreeMap::new(),
        };
        for disk in disks {
            machine.make_image(disk);
        }
        let file = daemon.path(&format!("{name}.xml"));
        fs::write(&file, machine.xml(devices)).unwrap();
        daemon.virsh(&["define", &shown(&file)]);
        machine.id = VmId::new(daemon.virsh(&["domuuid", name]).trim());
        machine
    }

    /// Where the image of a disk is.
    pub fn image(&self, target: &str) -> PathBuf {
        self.daemon.path(&format!("images/{}-{target}", self.name))
    }

    fn make_image(&mut self, disk: &TestDisk) {
        let path = self.image(disk.target);
        let (shown, size) = (shown(&path), disk.size.to_string());
        qemu_img(&["create", "-q", "-f", disk.format, &shown, &size]);
        give_away(&path);
        let empty = vec![0; usize::try_from(disk.size).unwrap()];
        self.truth.insert(disk.target, empty);
    }

    /// Its definition, with more devices.
    pub fn xml(&self, devices: &str) -> String {
        let disks = self.disks.iter().map(|disk| self.disk_xml(disk));
        format!(
            "<domain type='qemu'><name>{}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='maximum'/>\
             <on_poweroff>destroy</on_poweroff><devices>{}{devices}\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            self.name,
            disks.collect::<String>()
        )
    }

    fn disk_xml(&self, disk: &TestDisk) -> String {
        format!(
            "<disk type='file' device='disk'><driver name='qemu' type='{}'/>\
             <source file='{}'/><target dev='{}' bus='virtio'/></disk>",
            disk.format,
            shown(&self.image(disk.target)),
            disk.target
        )
    }

    /// Starts it.
    pub fn start(&self) {
        self.daemon.virsh(&["start", &self.name]);
    }

    /// Switches it off.
    pub fn stop(&self) {
        self.daemon.virsh(&["destroy", &self.name]);
    }

    /// Adds a disk to the machine, for its next start.
    pub fn add(&mut self, disk: &TestDisk) {
        self.make_image(disk);
        let file = self.daemon.path("disk.xml");
        fs::write(&file, self.disk_xml(disk)).unwrap();
        let file = shown(&file);
        self.daemon
            .virsh(&["attach-device", &self.name, &file, "--config"]);
        self.disks.push(disk.clone());
    }

    /// Takes what QEMU's tools read in the images for the truth.
    pub fn read_truth(&mut self) {
        for disk in &self.disks {
            let copy = self.daemon.path("copy.raw");
            let (from, to) = (shown(&self.image(disk.target)), shown(&copy));
            qemu_img(&["convert", "-U", "-f", disk.format, "-O", "raw", &from, &to]);
            self.truth.insert(disk.target, fs::read(copy).unwrap());
        }
    }

    /// Writes as the machine would, and notes it.
    pub fn write(&mut self, target: &'static str, byte: u8, offset: u64, length: u64) {
        self.write_unnoted(target, byte, offset, length);
        let start = usize::try_from(offset).unwrap();
        let end = start + usize::try_from(length).unwrap();
        self.truth.get_mut(target).unwrap()[start..end].fill(byte);
    }

    /// Writes what belongs to no capture that has begun.
    pub fn write_unnoted(&self, target: &str, byte: u8, offset: u64, length: u64) {
        self.ask(target, &format!("write -P {byte} {offset} {length}"));
    }

    /// Gives a command of qemu-io to the machine's own view of a disk.
    fn ask(&self, target: &str, words: &str) {
        let number = target.bytes().next_back().unwrap() - b'a';
        let line = format!(
            "qemu-io -d /machine/peripheral/virtio-disk{number}/virtio-backend \"{words}\""
        );
        let asked = ["qemu-monitor-command", &self.name, "--hmp", &line];
        // What it wrote goes to QEMU's own output; complaints come here.
        assert_eq!(self.daemon.virsh(&asked).trim(), "", "{line}");
    }
}

//! The guest's volumes, and the product set upon them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::DiskReader;
use lifeboat_lvm::{Doors, LocalSystem, Lvm, Machine, Sort, System};
use lifeboat_model::{ByteCount, SystemClock};
use lifeboat_platform::{
    CaptureRequest, CapturedChange, CapturedDisk, CheckpointId, KeptSnapshots, Origin, Quiesce,
    Since, SnapshotRules, StoreSize, Vm, VmDisk, VmId, VmState,
};
use lifeboat_testkit::SeededEntropy;

use crate::recording::Recorder;

/// Bytes of each volume.
pub(crate) const SIZE: u64 = 16 << 20;
/// The volume group; its name holds what device mapper names double.
pub(crate) const GROUP: &str = "vg-0";

pub(crate) struct Lab {
    pub(crate) doors: Doors,
    pub(crate) chance: SeededEntropy,
    images_end: Cell<u64>,
}

impl Lab {
    pub(crate) fn new(recorder: Option<Arc<Recorder>>) -> Self {
        let local: Arc<dyn System> = Arc::new(LocalSystem::default());
        let system = match recorder {
            Some(recorder) => recorder.over(local),
            None => local,
        };
        Self {
            doors: Doors {
                system,
                clock: Arc::new(SystemClock::new()),
                entropy: Arc::new(SeededEntropy::new(0)),
            },
            chance: SeededEntropy::new(7),
            images_end: Cell::new(0),
        }
    }

    /// The names of an act are its own, whatever acts were before.
    pub(crate) fn begin(&mut self, act: u64) {
        self.doors.entropy = Arc::new(SeededEntropy::new(act));
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.doors.clock.monotonic().as_secs_f64()
    }

    pub(crate) fn set_up(&self) {
        lvm("pvcreate -qq /dev/vda");
        lvm(&format!("vgcreate -qq {GROUP} /dev/vda"));
        let pool = "--type thin-pool -L 128M -c 64k --poolmetadatasize 4M -n po-ol";
        lvm(&format!("lvcreate -qq -y {pool} {GROUP}"));
    }

    /// A fresh classic volume with content.
    pub(crate) fn classic(&self, name: &str) -> PathBuf {
        lvm(&format!("lvcreate -qq -y -L {SIZE}b -n {name} {GROUP}"));
        self.filled(name)
    }

    /// A fresh thin volume with content.
    pub(crate) fn thin(&self, name: &str) -> PathBuf {
        lvm(&format!(
            "lvcreate -qq -y -V {SIZE}b -T {GROUP}/po-ol -n {name}"
        ));
        self.filled(name)
    }

    fn filled(&self, name: &str) -> PathBuf {
        let path = PathBuf::from(format!("/dev/{GROUP}/{name}"));
        write(&path, 1 << 20, &self.chance.bytes(6 << 20));
        path
    }

    /// Overwrites places of a volume, also outside of any block's edges.
    pub(crate) fn scribble(&self, path: &Path, count: u64, length: u64) {
        for _ in 0..count {
            let bytes = self.chance.bytes(1 + self.chance.below(length) as usize);
            let at = self.chance.below(SIZE - bytes.len() as u64);
            write(path, at, &bytes);
        }
    }

    /// Puts an image on the second disk, for the judge outside.
    pub(crate) fn keep_image(&self, name: &str, image: &[u8]) {
        let start = self.images_end.get();
        write(Path::new("/dev/vdb"), start, image);
        println!("IMAGE {name} {start} {}", image.len());
        self.images_end
            .set(start + (image.len() as u64).next_multiple_of(1 << 20));
    }

    /// Says what a capture names as changed, for the judge outside.
    pub(crate) fn keep_change(&self, name: &str, disk: &CapturedDisk) {
        for extent in changed(disk).iter() {
            println!("CHANGED {name} {} {}", extent.start(), extent.end());
        }
    }

    pub(crate) fn adapter(&self, machine: Machine, options: SnapshotRules) -> Lvm {
        Lvm::new(Sort::LvmLibvirt, vec![machine], options, self.doors.clone())
    }
}

/// A machine with these volumes as vda, vdb and so on.
pub(crate) fn machine(paths: &[&Path]) -> Machine {
    let disk = |(letter, path): (char, &&Path)| VmDisk {
        name: format!("vd{letter}").parse().unwrap(),
        size: None,
        format: None,
        place: path.display().to_string(),
        passed_over: None,
    };
    Machine {
        vm: Vm {
            id: VmId::new("web"),
            name: "web".parse().unwrap(),
            state: VmState::Running,
            title: None,
            tags: BTreeMap::new(),
            disks: ('a'..='z').zip(paths).map(disk).collect(),
        },
        files: Vec::new(),
    }
}

pub(crate) fn origin(digit: char) -> Origin {
    digit.to_string().repeat(16).parse().unwrap()
}

pub(crate) fn checkpoint(number: u8) -> CheckpointId {
    format!("lifeboat-{number:032x}").parse().unwrap()
}

/// A request for all disks and the origin of ones; `since` and `next` are checkpoints.
pub(crate) fn request(disks: &[&str], since: Option<u8>, next: Option<u8>) -> CaptureRequest {
    let since = disks
        .iter()
        .zip(since.iter().cycle())
        .map(|(disk, number)| {
            let since = Since {
                checkpoint: checkpoint(*number),
                size: SIZE,
            };
            (disk.parse().unwrap(), since)
        });
    CaptureRequest {
        vm: VmId::new("web"),
        disks: Vec::new(),
        since: since.collect(),
        checkpoint: next.map(checkpoint),
        origin: origin('1'),
        quiesce: Quiesce::Never,
        freeze_max: Duration::from_secs(10),
        scratch: None,
        scratch_bytes_min: None,
    }
}

/// Stores of that many bytes, and kept snapshots of classic volumes.
pub(crate) fn options(store: u64) -> SnapshotRules {
    SnapshotRules {
        store_size: StoreSize::Bytes(ByteCount(store)),
        store_bytes_min: ByteCount(0),
        store_bytes_max: None,
        kept: KeptSnapshots::All,
    }
}

pub(crate) fn write(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
    file.sync_all().unwrap();
}

/// The first bytes of a device as they are now.
pub(crate) fn image(path: &Path) -> Vec<u8> {
    let mut image = vec![0; SIZE as usize];
    File::open(path)
        .unwrap()
        .read_exact_at(&mut image, 0)
        .unwrap();
    image
}

pub(crate) fn read_all(reader: &dyn DiskReader) -> lifeboat_disk::Result<Vec<u8>> {
    let mut image = vec![0; reader.size() as usize];
    for (number, part) in image.chunks_mut(1 << 20).enumerate() {
        reader.read_at((number as u64) << 20, part)?;
    }
    Ok(image)
}

/// What a capture names as changed.
///
/// # Panics
/// Where it names everything.
pub(crate) fn changed(disk: &CapturedDisk) -> &lifeboat_model::ExtentSet {
    match &disk.change {
        CapturedChange::Since { changed } => changed,
        CapturedChange::Everything { reason } => panic!("everything: {reason}"),
    }
}

/// The reason for which everything is read; empty where changes are named.
pub(crate) fn reason(disk: &CapturedDisk) -> &str {
    match &disk.change {
        CapturedChange::Since { .. } => "",
        CapturedChange::Everything { reason } => reason,
    }
}

/// An earlier image with the changes of a capture laid over it.
pub(crate) fn rebuilt(mut base: Vec<u8>, disk: &CapturedDisk) -> Vec<u8> {
    for extent in changed(disk).iter() {
        let part = &mut base[extent.start() as usize..extent.end() as usize];
        disk.reader.read_at(extent.start(), part).unwrap();
    }
    base
}

/// Runs LVM itself, past the product.
pub(crate) fn lvm(line: &str) -> String {
    run("lvm", line)
}

pub(crate) fn run(program: &str, line: &str) -> String {
    let output = Command::new(program)
        .args(line.split(' '))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all volumes with this tag or name, one each.
pub(crate) fn volumes(select: &str) -> Vec<String> {
    let line = format!("lvs --noheadings -o lv_name -S {select} {GROUP}");
    let mut names: Vec<String> = lvm(&line).split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}

/// Whatever the product made and left.
pub(crate) fn leftovers() -> Vec<String> {
    volumes("lv_tags=lifeboat")
}

pub(crate) fn remove(names: &[&str]) {
    for name in names {
        lvm(&format!("lvremove -qq -y {GROUP}/{name}"));
    }
}

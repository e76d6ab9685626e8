//! A disk goes straight onto a device, also one with room to spare.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use lifeboat_testkit::SeededEntropy;

use crate::Place;

const DISK_BYTES: usize = 3 << 20;

/// A loop device; detached when dropped.
struct LoopDevice(String);

impl LoopDevice {
    /// Nothing where loop devices are not allowed.
    fn over(file: &Path) -> Option<Self> {
        let shown = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(file)
            .output()
            .ok()?;
        let device = String::from_utf8(shown.stdout).ok()?.trim().to_owned();
        (shown.status.success() && !device.is_empty()).then_some(Self(device))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn larger_than_themselves() {
    let place = Place::new();
    let disk = SeededEntropy::new(8).bytes(DISK_BYTES);
    fs::write(place.path("vda.raw"), &disk).unwrap();
    place.lifeboat(&["-r", "r", "init"]);
    place.lifeboat(&["-r", "r", "backup", "-m", "web01", "-d", "vda=vda.raw"]);
    fs::write(
        place.path("device"),
        SeededEntropy::new(9).bytes(DISK_BYTES + (1 << 20)),
    )
    .unwrap();
    let Some(device) = LoopDevice::over(&place.path("device")) else {
        eprintln!("SKIPPED: loop devices are not allowed here");
        return;
    };
    let restore = ["-r", "r", "restore", "-d", "vda", "-t", &device.0];
    let (code, told) = place.fails(&restore);
    assert!(code == 22 && told.contains("--overwrite"), "{told}");
    let told = place.lifeboat(&[&restore[..], &["--overwrite", "--verify"]].concat());
    assert!(told.contains("every byte"), "{told}");
    let told = place.lifeboat(&[&restore[..], &["--in-place", "--verify"]].concat());
    assert!(told.contains("wrote 0 B of data"), "{told}");
    drop(device);
    File::open(place.path("device"))
        .unwrap()
        .sync_all()
        .unwrap();
    assert!(fs::read(place.path("device")).unwrap()[..DISK_BYTES] == disk);
}

//! The guest in which this very test binary acts on a real device mapper.
//!
//! What is acted goes over the serial line; images over a bare second disk.

use std::fs::File;
use std::os::unix::fs::FileExt;

use lifeboat_testkit::{GuestLeft, KernelGuest};

/// Set inside of the guest: what this binary is to do there.
pub(crate) const INSIDE: &str = "LIFEBOAT_LVM_INSIDE";

/// Bytes of the disk that becomes a volume group.
const GROUP_DISK_BYTES: u64 = 512 << 20;
/// Bytes of the disk that takes images; sparse.
const IMAGES_DISK_BYTES: u64 = 2 << 30;

const INIT: &str = r#"#!/bin/busybox sh
export PATH=/usr/sbin:/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mount -t tmpfs t /tmp
mount -t tmpfs r /run; mkdir -p /run/lock/lvm
while read m; do insmod /modules/$m; done < /modules/order
dmesg -n 1
LIFEBOAT_LVM_INSIDE=act RUST_BACKTRACE=0 /program --exact inside::acts --nocapture --test-threads=1
echo "GUEST ended with $?"
sync; poweroff -f
"#;

/// What a guest left.
pub(crate) struct Left(pub(crate) GuestLeft);

/// Boots a guest and waits for its end; nothing, said loudly, where the parts are missing.
pub(crate) fn boot() -> Option<Left> {
    let guest = KernelGuest {
        init: INIT,
        program: &std::env::current_exe().unwrap(),
        disks: &[GROUP_DISK_BYTES, IMAGES_DISK_BYTES],
        last_words: "GUEST ended with 0",
    };
    guest.boot().map(Left)
}

impl Left {
    /// An image that was put on the second disk.
    pub(crate) fn image(&self, name: &str) -> Vec<u8> {
        let said = &self.0.said;
        let line = self
            .0
            .told("IMAGE ")
            .find(|line| line.split(' ').next() == Some(name))
            .unwrap_or_else(|| panic!("the guest left no image {name}\n{said}"));
        let numbers: Vec<u64> = line
            .split(' ')
            .skip(1)
            .map(|it| it.parse().unwrap())
            .collect();
        let mut image = vec![0; numbers[1] as usize];
        File::open(&self.0.disks[1])
            .unwrap()
            .read_exact_at(&mut image, numbers[0])
            .unwrap();
        image
    }
}

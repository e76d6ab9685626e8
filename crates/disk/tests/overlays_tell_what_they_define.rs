//! An overlay's own extents are those that QEMU maps at depth 0.

use lifeboat_disk::{BackingPolicy, ChangedExtents, DiskReader, Qcow2Disk, Qcow2OpenOptions};

use crate::qemu::{self, Dice};

#[test]
fn as_qemu_maps_them() {
    if !qemu::is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (below, path) = (place.path().join("below"), place.path().join("overlay"));
    let mut dice = Dice::new(11);
    for options in ["cluster_size=4k", "cluster_size=64k,extended_l2=on"] {
        qemu::img("create -q -f qcow2 @ 8M", &below);
        qemu::io(
            &["-f", "qcow2", below.to_str().unwrap()],
            &["write 0 8M".into()],
        );
        qemu::img(
            &format!("create -q -f qcow2 -b below -F qcow2 -o {options} @ 9M"),
            &path,
        );
        let commands: Vec<String> = (0..20)
            .map(|number| {
                let (start, length) = dice.range(9 << 20, 512, 200_000);
                let command = if number % 3 == 0 { "write -z" } else { "write" };
                format!("{command} {start} {length}")
            })
            .collect();
        qemu::io(&["-f", "qcow2", path.to_str().unwrap()], &commands);
        let options = Qcow2OpenOptions {
            backing: BackingPolicy::Allow {
                root: None,
                depth_max: 1,
            },
            ..Default::default()
        };
        let disk = Qcow2Disk::open(&path, &options).unwrap();
        let map = qemu::img("map -f qcow2 --output=json @", &path);
        let expected = ChangedExtents::from_json(&map, disk.size()).unwrap();
        assert_eq!(disk.own_extents().unwrap(), expected);
    }
}

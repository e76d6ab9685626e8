//! One rescue VM reads ext4, xfs, btrfs, ntfs and fat, in GPT, in MBR and bare, as one system.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_model::ErrorKind;
use lifeboat_rescue::wire::FileKind;
use lifeboat_rescue::{Access, GuestPath, LastLink, Rescue, Step, unpack};
use lifeboat_testkit::tool;
use sha2::{Digest, Sha256};

use crate::disks::{Disks, run};
use crate::trees::{self, Keeps, assert_same, make_plain, make_rich};

const PROGRAMS: [&str; 8] = [
    "mke2fs",
    "mkfs.xfs",
    "mkfs.btrfs",
    "mkfs.vfat",
    "mcopy",
    "mkntfs",
    "ntfscp",
    "sfdisk",
];
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const EFI: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const XFS_UUID: &str = "5e1c6b0a-0f5c-4a55-9d0c-0a5d0c6e7f11";

struct Stages {
    root: PathBuf,
    plain: PathBuf,
    rich: PathBuf,
}

#[test]
fn every_file_comes_out_as_it_went_in() {
    let Some(mut disks) = Disks::with(&PROGRAMS) else {
        return;
    };
    let stages = Stages::make(&disks);
    let images = [
        ("vda", system_disk(&disks, &stages)),
        ("vdb", xfs(&disks, &stages.plain)),
        ("vdc", btrfs(&disks, &stages.rich)),
        ("vdd", ntfs_disk(&disks, &stages.plain)),
    ];
    let hashes = images.each_ref().map(|(_, image)| hash(image));
    let served = images
        .each_ref()
        .map(|(name, image)| disks.serve(name, image, Access::Read));
    let Some(mut rescue) = disks.start(&served, Access::Read) else {
        return;
    };
    volumes_are_told(&rescue);
    trees_are_the_same(&mut rescue, &stages);
    paths_lead_across_volumes(&mut rescue);
    links_stay_inside(&mut rescue);
    ranges_and_streams_agree(&mut rescue);
    a_walk_may_be_left(&mut rescue);
    what_is_unpacked_is_the_same(&mut rescue, &disks, &stages);
    rescue.finish().unwrap();
    disks.stop();
    assert_eq!(images.each_ref().map(|(_, image)| hash(image)), hashes);
}

impl Stages {
    fn make(disks: &Disks) -> Self {
        let stages = Self {
            root: disks.stage("root"),
            plain: disks.stage("plain"),
            rich: disks.stage("rich"),
        };
        make_plain(&stages.plain);
        make_rich(&stages.rich);
        let root = &stages.root;
        for folder in ["etc", "boot/efi", "srv", "var/lib", "inner"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        make_rich(&root.join("inner"));
        let fstab = format!(
            "LABEL=root / ext4 defaults 0 1\n\
             UUID={XFS_UUID} /srv xfs defaults 0 2\n\
             /dev/sda1 /boot/efi vfat umask=0077 0 1\n\
             LABEL=pool /data btrfs defaults 0 0\n"
        );
        fs::write(root.join("etc/fstab"), fstab).unwrap();
        fs::write(root.join("etc/shadow"), "of the machine\n").unwrap();
        symlink("/../../etc/shadow", root.join("etc/passwd")).unwrap();
        symlink("../../../../srv/text", root.join("etc/text")).unwrap();
        symlink("/var/lib", root.join("data")).unwrap();
        stages
    }
}

fn system_disk(disks: &Disks, stages: &Stages) -> PathBuf {
    let efi = disks.image("efi", 34);
    run(Command::new(tool("mkfs.vfat").unwrap())
        .args(["-n", "ESP"])
        .arg(&efi));
    let mut copy = Command::new(tool("mcopy").unwrap());
    copy.args(["-s", "-i"]).arg(&efi);
    copy.args(entries(&stages.plain)).arg("::");
    run(&mut copy);
    let image = disks.image("root.ext4", 48);
    let mut make = Command::new(tool("mke2fs").unwrap());
    make.args(["-q", "-t", "ext4", "-L", "root", "-d"]);
    run(make.arg(&stages.root).arg(&image));
    disks.partitioned("vda.raw", "gpt", &[(EFI, &efi), (LINUX, &image)])
}

fn xfs(disks: &Disks, plain: &Path) -> PathBuf {
    let image = disks.image("vdb.raw", 320);
    let prototype = disks.path("prototype");
    fs::write(
        &prototype,
        format!("/\n0 0\nd--755 0 0\n{}$\n", prototype_of(plain)),
    )
    .unwrap();
    let mut make = Command::new(tool("mkfs.xfs").unwrap());
    make.args(["-q", "-m", &format!("uuid={XFS_UUID}"), "-p"]);
    run(make.arg(&prototype).arg(&image));
    image
}

/// The list from which `mkfs.xfs` fills its file system.
fn prototype_of(folder: &Path) -> String {
    let mut text = String::new();
    for path in entries(folder) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        text += &match path.is_dir() {
            true => format!("{name} d--755 0 0\n{}$\n", prototype_of(&path)),
            false => format!("{name} ---644 0 0 {}\n", path.display()),
        };
    }
    text
}

fn btrfs(disks: &Disks, rich: &Path) -> PathBuf {
    let image = disks.image("vdc.raw", 128);
    let mut make = Command::new(tool("mkfs.btrfs").unwrap());
    make.args(["-q", "-L", "pool", "--rootdir"]);
    run(make.arg(rich).arg(&image));
    image
}

fn ntfs_disk(disks: &Disks, plain: &Path) -> PathBuf {
    let image = disks.image("ntfs", 16);
    run(Command::new(tool("mkntfs").unwrap())
        .args(["-q", "-F", "-L", "win"])
        .arg(&image));
    for path in entries(plain).iter().filter(|path| path.is_file()) {
        let name = path.file_name().unwrap();
        run(Command::new(tool("ntfscp").unwrap())
            .arg("-q")
            .arg(&image)
            .arg(path)
            .arg(name));
    }
    disks.partitioned("vdd.raw", "dos", &[("7", &image)])
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    paths.sort();
    paths
}

fn hash(image: &Path) -> Vec<u8> {
    Sha256::digest(fs::read(image).unwrap()).to_vec()
}

fn volumes_are_told(rescue: &Rescue) {
    let shown: Vec<_> = rescue
        .volumes()
        .iter()
        .map(|it| {
            let at = it.mounted_at.as_deref().unwrap_or("-");
            format!("{} {} {} {at}{}", it.name, it.content, it.label, it.note)
        })
        .collect();
    let wanted = [
        "vda   -",
        "vda1 vfat ESP /boot/efi",
        "vda2 ext4 root /",
        "vdb xfs  /srv",
        "vdc btrfs pool /data",
        "vdd   -",
        "vdd1 ntfs  -",
    ];
    assert_eq!(shown, wanted);
}

fn trees_are_the_same(rescue: &mut Rescue, stages: &Stages) {
    let all = Keeps {
        modes: true,
        owners: true,
        times: true,
        attributes: true,
        hard_links: true,
    };
    let rich = stages.root.join("inner");
    assert_same(&trees::read(rescue, "/inner"), &rich, all);
    // The maker of btrfs makes each hard link a file of its own.
    let btrfs = Keeps {
        hard_links: false,
        ..all
    };
    assert_same(&trees::read(rescue, "vdc:/"), &stages.rich, btrfs);
    for place in ["/srv", "/boot/efi"] {
        assert_same(&trees::read(rescue, place), &stages.plain, Keeps::default());
    }
    let mut files = trees::read(rescue, "vdd1:/");
    files.retain(|path, seen| path.is_empty() || seen.entry.kind == FileKind::File);
    assert_eq!(files.len(), 5);
    for path in ["text", "empty", "noise", "sparse"] {
        let content = fs::read(stages.plain.join(path)).unwrap();
        assert!(files[path.as_bytes()].content == content, "{path} on NTFS");
    }
}

fn paths_lead_across_volumes(rescue: &mut Rescue) {
    // The system's table puts a volume where a link of the system leads.
    let names = |rescue: &mut Rescue, path: &str| -> Vec<String> {
        let listed = rescue.list(&path.parse().unwrap()).unwrap();
        let names = listed.iter().map(|it| it.name.escape_ascii().to_string());
        names.collect()
    };
    assert!(names(rescue, "/var/lib").contains(&"sticky".to_owned()));
    assert_eq!(names(rescue, "/boot/efi/deep/deeper"), ["deepest"]);
    assert_eq!(names(rescue, "/etc"), ["fstab", "passwd", "shadow", "text"]);
    let missing = rescue.list(&"/no/such/place".parse().unwrap()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let volume = rescue.list(&"sdz9:/".parse().unwrap()).unwrap_err();
    assert!(
        volume.to_string().contains("there are vda, vda1"),
        "{volume}"
    );
}

fn links_stay_inside(rescue: &mut Rescue) {
    let mut buffer = [0; 64];
    for (path, content) in [
        ("/etc/passwd", "of the machine\n"),
        ("/etc/text", "some text\n"),
    ] {
        let length = rescue.read(&path.parse().unwrap(), 0, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], content.as_bytes(), "{path}");
    }
    let above = rescue.list(&"/../../..".parse().unwrap()).unwrap();
    let root = rescue.list(&"/".parse().unwrap()).unwrap();
    assert_eq!(above, root);
}

fn ranges_and_streams_agree(rescue: &mut Rescue) {
    let noise = trees::noise(300_001);
    let path: GuestPath = "/inner/noise".parse().unwrap();
    let mut buffer = vec![0; 100_000];
    let mut content: Vec<u8> = Vec::new();
    loop {
        let length = rescue
            .read(&path, content.len() as u64, &mut buffer)
            .unwrap();
        content.extend(&buffer[..length]);
        if length == 0 {
            break;
        }
    }
    assert!(content == noise);
    let sparse: GuestPath = "/inner/sparse".parse().unwrap();
    let mut walk = rescue.walk(&sparse, LastLink::Kept).unwrap();
    assert!(matches!(walk.next(), Some(Ok(Step::Entry(_)))));
    let mut content = Vec::new();
    walk.content()
        .unwrap()
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(content.len(), 3 << 20);
    assert!(content[1 << 20..][..4096] == noise[..4096]);
    assert!(content[(1 << 20) + 4096..].iter().all(|byte| *byte == 0));
    assert!(walk.next().is_none());
}

fn a_walk_may_be_left(rescue: &mut Rescue) {
    for steps in 0..6 {
        let walk = rescue
            .walk(&GuestPath::of_system(b"/"), LastLink::Kept)
            .unwrap();
        assert_eq!(walk.take(steps).filter(Result::is_ok).count(), steps);
    }
    assert!(!rescue.list(&"/etc".parse().unwrap()).unwrap().is_empty());
}

fn what_is_unpacked_is_the_same(rescue: &mut Rescue, disks: &Disks, stages: &Stages) {
    let target = disks.stage("target");
    let path = GuestPath::on_volume("vda2", b"/inner");
    let mut walk = rescue.walk(&path, LastLink::Kept).unwrap();
    let unpacked = unpack(&mut walk, &target, b"inner").unwrap();
    drop(walk);
    assert_eq!(unpacked.findings, Vec::<(String, String)>::new());
    trees::assert_folders_equal(&stages.root.join("inner"), &target.join("inner"));
    let mut walk = rescue.walk(&path, LastLink::Kept).unwrap();
    let again = unpack(&mut walk, &target, b"inner").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
}

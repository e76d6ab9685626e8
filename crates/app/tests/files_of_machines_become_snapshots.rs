//! `machine backup --files`: what is inside a machine becomes an ordinary snapshot of files.

use std::fs;
use std::process::Command;

use lifeboat_testkit::libvirtd::{TestMachine, give_away, qcow2, qemu_img, shown};
use lifeboat_testkit::tool;
use serde_json::{Value, json};

use crate::files::walker::Entries;
use crate::files_inside_machines_are_shown::{Image, program, run};
use crate::machines::host::Host;

/// Its second volume is on no disk.
const FSTAB: &str = "LABEL=root / ext4 defaults 0 1\n\
                     /dev/vda1 /boot/efi vfat umask=0077 0 1\n\
                     LABEL=gone /mnt/gone xfs defaults 0 2\n";
const IMAGE_MIB: u64 = 164;
const SOURCES: [&str; 5] = ["/boot", "/etc", "/mnt", "/srv", "/var"];

/// A machine of libvirt, and the image that its disk is made of.
struct Site<'a> {
    host: &'a Host,
    image: Image,
    machine: TestMachine<'a>,
}

impl Site<'_> {
    /// Writes the image to the disk of the machine, which is off.
    fn fill_disk(&self) {
        let (from, to) = (
            shown(&self.image.place.path("vda.raw")),
            self.machine.image("vda"),
        );
        qemu_img(&[
            "convert",
            "-n",
            "-f",
            "raw",
            "-O",
            "qcow2",
            &from,
            &shown(&to),
        ]);
        give_away(&to);
    }

    /// Stores the files; gives the exit code, and what is told in JSON.
    fn back_up(&self, more: &[&str]) -> (i32, Value) {
        let words = [
            &["--json", "machine", "backup", "web", "--quiesce", "never"],
            more,
        ]
        .concat();
        let mut command = self.host.command(&self.host.daemon.uri(), "r", &words);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        let mut machines = crate::messages(&told, "machine");
        assert_eq!(machines.len(), 1, "{told}{said}");
        (output.status.code().unwrap(), machines.remove(0))
    }

    /// One file is new, and one loses its inode.
    fn change(&self) {
        let place = &self.image.place;
        fs::write(place.path("new"), [5; 70_000]).unwrap();
        let changes = "write new /var/new\nclri /srv/program\n";
        fs::write(place.path("changes"), changes).unwrap();
        let mut debugfs = program("debugfs");
        debugfs.args(["-w", "-f", "changes", "root.ext4"]);
        run(debugfs.current_dir(place.path("")));
        self.image.assemble();
        self.fill_disk();
    }

    fn record(&self, id: &Value) -> Value {
        let words = ["--no-lock", "cat", "snapshot", id.as_str().unwrap()];
        serde_json::from_str(&self.host.lifeboat("record", "r", &words)).unwrap()
    }

    /// What stock restic does with the repository.
    fn restic(&self, words: &[&str]) -> String {
        let mut restic = Command::new(tool("restic").unwrap());
        restic.arg("-r").arg(self.host.path("r")).args(words);
        restic.env("RESTIC_PASSWORD_FILE", self.host.path("password"));
        run(restic.env("RESTIC_CACHE_DIR", self.image.place.path("restic")))
    }
}

#[test]
fn files_of_a_machine_become_a_snapshot_of_files() {
    let (Some(image), Some(_)) = (Image::new(FSTAB), tool("restic")) else {
        return;
    };
    let Some(host) = Host::begin() else {
        return;
    };
    host.init("r");
    image.write();
    let machine = host.daemon.defined("web", &[qcow2("vda", IMAGE_MIB)], "");
    let site = Site {
        host: &host,
        image,
        machine,
    };
    site.fill_disk();
    let words = SOURCES.map(|path| ["--source", path]);
    let words = [
        &words.concat()[..],
        &["--exclude=*.cache", "--exclude=/mnt/gone"],
    ]
    .concat();
    let (code, first) = site.back_up(&words);
    assert_eq!((code, &first["outcome"]), (0, &json!("saved")), "{first}");
    assert_eq!(first["consistency"], "offline", "{first}");
    assert_eq!(first["files"]["unread"], 0, "{first}");
    is_restored_by_restic(&site);
    what_is_no_path_is_refused(&site);
    site.change();
    site.machine.start();
    let (_, disks) = site.back_up(&[]);
    let second = only_what_changed_is_read(&site, &first);
    disks_go_on_beside_it(&site, &disks, &second);
}

fn is_restored_by_restic(site: &Site<'_>) {
    let theirs = site.image.place.path("theirs");
    site.restic(&[
        "--no-lock",
        "restore",
        "latest",
        "--target",
        &shown(&theirs),
    ]);
    let root = site.image.root();
    for folder in ["srv", "etc"] {
        Entries::of(&root.join(folder)).assert_same(&Entries::of(&theirs.join(folder)));
    }
    let boot = fs::read_to_string(theirs.join("boot/efi/boot.cfg")).unwrap();
    assert_eq!(boot, "timeout=1\n");
    assert_eq!(Entries::of(&theirs.join("var")).names(), ["cache"]);
    assert!(
        theirs.join("data").symlink_metadata().is_err(),
        "it is no source"
    );
    fs::remove_dir_all(theirs).unwrap();
}

fn what_is_no_path_is_refused(site: &Site<'_>) {
    let words = ["machine", "backup", "web", "--quiesce", "never", "--source"];
    let refused = |code, path: &str| site.host.fails(code, "r", &[&words[..], &[path]].concat());
    assert!(refused(2, "/srv/../etc").contains("files.source"));
    let told = refused(1, "/srv/nowhere");
    assert!(told.contains("/srv/nowhere"), "{told}");
}

/// One file is new, one lost its inode, the rest is as it was.
fn only_what_changed_is_read(site: &Site<'_>, first: &Value) -> Value {
    let job = site.host.path("job.toml");
    let text = format!("[files]\nsource = {SOURCES:?}\nexclude = [\"*.cache\"]\n");
    fs::write(&job, text).unwrap();
    let (code, told) = site.back_up(&["--job", &shown(&job)]);
    let findings = told["findings"].to_string();
    assert_eq!((code, &told["outcome"]), (3, &json!("saved")), "{told}");
    assert_eq!(told["consistency"], "crash", "{told}");
    let files = &told["files"];
    assert_eq!([&files["unread"], &files["files_new"]], [2, 1], "{told}");
    for (path, word) in [("/mnt/gone: ", "LABEL=gone"), ("/srv: ", "program")] {
        assert!(
            findings.contains(path) && findings.contains(word),
            "{findings}"
        );
    }
    let [before, kept, read] = [
        &first["files"]["files_new"],
        &files["files_unmodified"],
        &files["bytes_read"],
    ]
    .map(|it| it.as_u64().unwrap());
    // FAT has no lasting inodes: its one file may be read again.
    assert!(kept == before - 1 || kept == before - 2, "{told}");
    assert!(read <= 70_010, "{told}");
    let record = site.record(&told["snapshot_id"]);
    assert_eq!(record["parent"], first["snapshot_id"]);
    assert_eq!(record["paths"], json!(SOURCES));
    assert_eq!(record["tags"], json!(["lifeboat-files"]));
    assert_eq!(record["hostname"], "web");
    assert_eq!(record["excludes"], json!(["*.cache"]));
    assert_eq!(record["lifeboat"]["consistency"], "crash");
    told
}

/// Neither takes the other for its own.
fn disks_go_on_beside_it(site: &Site<'_>, disks: &Value, files: &Value) {
    let latest = ["--no-lock", "ls", "latest", "--machine", "web"];
    let listed = site.host.lifeboat("latest", "r", &latest);
    assert!(listed.contains("lifeboat.json"), "{listed}");
    let (_, increment) = site.back_up(&[]);
    let disk = &increment["disks"][0];
    assert_eq!(disk["mode"], "incremental", "{increment}");
    assert_eq!(disk["bytes_read"], 0, "{increment}");
    let record = site.record(&increment["snapshot_id"]);
    assert_eq!(record["parent"], disks["snapshot_id"]);
    site.host
        .lifeboat("forget", "r", &["forget", "--keep-last", "1"]);
    site.host
        .lifeboat("prune", "r", &["prune", "--max-unused", "0"]);
    let kept = site.host.lifeboat("list", "r", &["--json", "snapshots"]);
    let kept: Vec<Value> = serde_json::from_str(&kept).unwrap();
    let ids: Vec<&Value> = kept.iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&files["snapshot_id"], &increment["snapshot_id"]]);
    site.restic(&["check", "--read-data"]);
    let words = ["--no-lock", "ls", "latest", "--tag", "lifeboat-files"];
    let listed = site.restic(&words);
    assert!(
        listed.contains("/etc/fstab") && !listed.contains("lifeboat.json"),
        "{listed}"
    );
    assert_eq!(site.host.daemon.scratch(), [""; 0]);
}

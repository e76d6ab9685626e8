//! Files that stock restic backed up come back as they were.

pub(crate) mod tree;
pub(crate) mod walker;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeboat_testkit::{lighten_key, tool};
use walker::Entries;

/// A repository that restic made, with one snapshot of a tree.
struct World {
    all: tempfile::TempDir,
    restic: PathBuf,
    source: PathBuf,
}

impl World {
    /// Nothing where this restic is missing.
    fn new(name: &str, make: impl FnOnce(&Path)) -> Option<Self> {
        let restic = tool(name)?;
        let all = tempfile::tempdir().unwrap();
        // A plain relative path would hide faults with absolute ones.
        let source = all.path().join("source");
        std::fs::create_dir(&source).unwrap();
        make(&source);
        let world = Self {
            all,
            restic,
            source,
        };
        world.restic(&["init"]);
        lighten_key(&world.all.path().join("repository"), "secret");
        world.backup();
        Some(world)
    }

    fn backup(&self) {
        let source = self.source.to_str().unwrap().to_owned();
        self.restic(&["backup", &source]);
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("RESTIC_REPOSITORY", self.all.path().join("repository"))
            .env("RESTIC_PASSWORD", "secret")
            .env("RESTIC_CACHE_DIR", self.all.path().join("cache"));
        command
    }

    fn restic(&self, arguments: &[&str]) {
        let output = self.command(&self.restic).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "restic {arguments:?}: {}",
            said(&output)
        );
    }

    /// Restores into a new folder; gives where the source is there.
    fn lifeboat(&self, folder: &str, arguments: &[&str]) -> (Output, PathBuf) {
        let target = self.all.path().join(folder);
        let program = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
        let mut command = self.command(program);
        command.args(["restore", "latest", "--target"]).arg(&target);
        let output = command.args(arguments).output().unwrap();
        (output, self.inside(&target))
    }

    /// Where the source is below a target.
    fn inside(&self, target: &Path) -> PathBuf {
        target.join(self.source.strip_prefix("/").unwrap())
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Restores everything and compares with the source and with restic's own restore.
fn nasty_tree_comes_back(name: &str) {
    let make = |root: &Path| {
        tree::nasty(root);
        if name == "restic-new" {
            tree::what_old_restic_loses(root);
        }
    };
    let Some(world) = World::new(name, make) else {
        return;
    };
    let source = Entries::of(&world.source);
    let (output, restored) = world.lifeboat("ours", &["--verify"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    source.assert_same(&Entries::of(&restored));
    let theirs = world.all.path().join("theirs");
    world.restic(&["restore", "latest", "--target", theirs.to_str().unwrap()]);
    Entries::of(&world.inside(&theirs)).assert_same(&Entries::of(&restored));
    holes_are_holes(&restored);
    again_in_every_mode(&world, &source);
}

fn holes_are_holes(restored: &Path) {
    use std::os::unix::fs::MetadataExt;
    let sparse = std::fs::metadata(restored.join("sparse")).unwrap();
    assert_eq!(sparse.len(), 1 << 30);
    assert!(
        sparse.blocks() * 512 < 16 << 20,
        "{} blocks",
        sparse.blocks()
    );
}

/// A restore over what is there changes nothing, and repairs what was changed.
fn again_in_every_mode(world: &World, source: &Entries) {
    let (output, restored) = world.lifeboat("ours", &[]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let (output, _) = world.lifeboat("ours", &["--overwrite", "--json"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(
        said(&output).contains("\"bytes_written\":0"),
        "{}",
        said(&output)
    );
    source.assert_same(&Entries::of(&restored));
    for mode in ["--overwrite", "--in-place"] {
        tree::spoil(&restored);
        let (output, _) = world.lifeboat("ours", &[]);
        assert_eq!(code(&output), 1, "{}", said(&output));
        let (output, _) = world.lifeboat("ours", &[mode, "--dry-run"]);
        assert_eq!(code(&output), 0, "{}", said(&output));
        let (output, _) = world.lifeboat("ours", &[mode, "--verify"]);
        assert_eq!(code(&output), 0, "{}", said(&output));
        source.assert_same(&Entries::of(&restored));
    }
}

#[test]
fn a_nasty_tree_comes_back_from_old_restic() {
    nasty_tree_comes_back("restic");
}

#[test]
fn a_nasty_tree_comes_back_from_new_restic() {
    nasty_tree_comes_back("restic-new");
}

#[test]
fn ten_thousand_small_files_come_back() {
    let Some(world) = World::new("restic", tree::many) else {
        return;
    };
    let (output, restored) = world.lifeboat("ours", &[]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    Entries::of(&world.source).assert_same(&Entries::of(&restored));
}

#[test]
fn includes_and_excludes_choose() {
    let Some(world) = World::new("restic", tree::plain) else {
        return;
    };
    let (output, restored) = world.lifeboat("a", &["--include", "*.conf", "--exclude", "secret"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let mut names = Entries::of(&restored).names();
    names.retain(|name| name.ends_with(".conf") || name.ends_with(".txt"));
    assert_eq!(names, ["etc/a.conf", "etc/deep/er/b.conf"]);
    let path = world.source.join("etc/deep");
    let (output, restored) = world.lifeboat("b", &["--include", path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let expected = ["etc", "etc/deep", "etc/deep/er", "etc/deep/er/b.conf"];
    assert_eq!(Entries::of(&restored).names(), expected);
    let (output, _) = world.lifeboat("c", &["--include", "/nowhere"]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(!world.all.path().join("c").exists());
    let (output, _) = world.lifeboat("d", &["--dry-run"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(!world.all.path().join("d").exists());
}

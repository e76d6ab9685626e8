//! The Debian package is installed, works, and leaves what people made there.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeboat_testkit::{Effort, tool};

use crate::trial::lifeboat;

const UNITS: [&str; 2] = ["lifeboat.service", "lifeboat-run@.service"];
/// What systemd finds open in a unit, from 0 to 100, may not become more.
const EXPOSURE_MAX: &str = "--threshold=32";

pub(super) fn well(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{told}{complaint}");
    output
}

/// Packages the program that is tested.
pub(super) fn package(folder: &Path) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--",
        "deb",
        "--fast",
    ]);
    command
        .arg("--lifeboat")
        .arg(lifeboat())
        .arg("-o")
        .arg(folder);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let told = String::from_utf8(well(command.current_dir(root)).stdout).unwrap();
    PathBuf::from(told.lines().last().unwrap())
}

/// An empty root with a package manager that knows of nothing.
fn dpkg(root: &Path) -> Command {
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let status = root.join("var/lib/dpkg/status");
    if !status.exists() {
        fs::write(status, "").unwrap();
    }
    let mut command = Command::new("dpkg");
    command.arg(format!("--root={}", root.display()));
    command.args([
        "--force-depends",
        "--force-script-chrootless",
        "--log=/dev/null",
    ]);
    command
}

fn units_are_sound(root: &Path) {
    let Some(analyze) = tool("systemd-analyze") else {
        return;
    };
    let folder = root.join("units");
    fs::create_dir_all(&folder).unwrap();
    let installed = root.join("usr/lib/systemd/system");
    let mut verify = Command::new(&analyze);
    verify.args(["verify", "--man=no"]);
    for unit in UNITS.iter().chain(&["lifeboat-run@.timer"]) {
        let text = fs::read_to_string(installed.join(unit)).unwrap();
        // It looks for the program where the unit says.
        let program = root.join("usr/bin/lifeboat").display().to_string();
        let text = text.replace("/usr/bin/lifeboat", &program);
        let path = folder.join(unit.replace('@', "@web"));
        fs::write(&path, text).unwrap();
        verify.arg(path);
    }
    let told = String::from_utf8(well(&mut verify).stderr).unwrap();
    let ours: Vec<&str> = told.lines().filter(|it| it.contains("lifeboat")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    for unit in UNITS {
        let mut security = Command::new(&analyze);
        security.args(["security", "--offline=yes", "--no-pager", EXPOSURE_MAX]);
        well(security.arg(installed.join(unit)));
    }
}

fn is_complete(root: &Path) {
    let program = root.join("usr/bin/lifeboat");
    let version = well(Command::new(program).arg("--version"));
    let expected = concat!("lifeboat ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
    let mode = fs::metadata(root.join("etc/lifeboat"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750);
    for file in [
        "usr/share/man/man1/lifeboat-doctor.1.gz",
        "usr/share/doc/lifeboat/examples/lifeboat.example.toml",
        "usr/share/lifeboat/prometheus/lifeboat.rules.yml",
        "usr/share/lifeboat/grafana/lifeboat.json",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    let completions = root.join("usr/share/bash-completion/completions/lifeboat");
    well(Command::new("bash").arg("-n").arg(completions));
    let copyright = fs::read_to_string(root.join("usr/share/doc/lifeboat/copyright")).unwrap();
    assert!(copyright.contains("\n  serde "), "{copyright}");
    assert!(!copyright.contains("no licence"), "{copyright}");
}

#[test]
fn the_package_is_installed_works_and_goes() {
    let place = tempfile::tempdir().unwrap();
    let package = package(&place.path().join("out"));
    let root = place.path().join("root");
    if !rustix::process::geteuid().is_root() {
        // Owners are root's to give; the content is the same.
        well(Command::new("dpkg-deb").arg("-x").args([&package, &root]));
        return is_complete(&root);
    }
    well(dpkg(&root).arg("--install").arg(&package));
    is_complete(&root);
    units_are_sound(&root);
    fs::create_dir_all(root.join("var/lib/lifeboat")).unwrap();
    fs::write(root.join("etc/lifeboat/lifeboat.toml"), "").unwrap();
    well(dpkg(&root).args(["--purge", "lifeboat"]));
    assert!(!root.join("usr/bin/lifeboat").exists());
    assert!(!root.join("usr/share/lifeboat").exists());
    assert!(root.join("etc/lifeboat/lifeboat.toml").exists());
    assert!(root.join("var/lib/lifeboat").exists());
    // It looks for a quarter of a minute.
    if Effort::current().pick(false, true)
        && let Some(lintian) = tool("lintian")
    {
        well(Command::new(lintian).arg("--fail-on=error").arg(&package));
    }
}

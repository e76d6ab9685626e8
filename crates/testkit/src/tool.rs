//! Real programs that tests ask for their judgement.

use std::env;
use std::path::{Path, PathBuf};

/// Finds a program, for example `restic`, `restic-new`, `rustic`, `qemu-img`.
///
/// Looks at the variable `LIFEBOAT_<NAME>` (as in `LIFEBOAT_RESTIC_NEW`), then in
/// `target/tools` of the workspace, then in `PATH`.
/// Without it the caller's test ends early and says so on standard error; where the variable
/// `CI` is set it panics instead, because a judge that is absent there is a fault.
pub fn tool(name: &str) -> Option<PathBuf> {
    let variable = format!("LIFEBOAT_{}", name.to_uppercase().replace('-', "_"));
    if let Some(path) = env::var_os(&variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "{variable} names {}, which is no file",
            path.display()
        );
        return Some(path);
    }
    let found = directories()
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let missing = format!("{name} is missing (install it or set {variable})");
        assert!(env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    found
}

fn directories() -> impl Iterator<Item = PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<_> = env::split_paths(&path).collect();
    // Debian keeps daemons where ordinary users do not look.
    let daemons = PathBuf::from("/usr/sbin");
    let ours = [workspace.join("target/tools")];
    ours.into_iter().chain(in_path).chain([daemons])
}

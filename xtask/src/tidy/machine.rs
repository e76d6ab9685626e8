//! Nothing in the tree may name the machine it was written on, or a host packages come from.

use super::Finding;
use super::tree::SourceFile;

/// Beginnings of absolute paths; put together here so that this file passes its own rule.
const PATHS: [&str; 4] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "tmp/lb"),
];
const HOSTS: [&str; 12] = [
    concat!("deb.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("snapshot.", "debian.org"),
    concat!("ftp.", "debian.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi", ".org"),
    concat!("registry.", "npmjs.org"),
    concat!("proxy.", "golang.org"),
    concat!("docker", ".io"),
    concat!("quay", ".io"),
];
/// Written by cargo, with its own registry in every entry.
const FILES_LEFT_OUT: [&str; 1] = ["Cargo.lock"];

/// Refuses absolute paths of a machine and names of registries.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    if FILES_LEFT_OUT.contains(&file.name()) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| Some((index + 1, refused(line)?)));
    found
        .map(|(line, text)| Finding::at(&file.path, line, text))
        .collect()
}

fn refused(line: &str) -> Option<String> {
    if let Some(path) = PATHS.iter().find(|path| names_path(line, path)) {
        return Some(format!("names a place of one machine: {path}"));
    }
    let host = HOSTS.iter().find(|host| line.contains(**host))?;
    Some(format!("names a registry host: {host}"))
}

/// Whether a path begins so, not merely goes on so (`target/demo/...`).
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| letter.is_whitespace() || "\"'`=:,;([<|".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&SourceFile::sample(path, text)).len()
    }

    #[test]
    fn relative_paths_and_other_hosts_pass() {
        assert_eq!(found("a.rs", "let folder = \"target/home/disk.raw\";"), 0);
        assert_eq!(
            found(
                "a.md",
                "see $STATE/work/list and https://example.org/root/x"
            ),
            0
        );
        assert_eq!(found("Cargo.lock", HOSTS[4]), 0);
    }

    #[test]
    fn places_of_one_machine_are_refused() {
        for path in PATHS {
            assert_eq!(
                found("a.rs", &format!("open(\"{path}disk.raw\")")),
                1,
                "{path}"
            );
        }
    }

    #[test]
    fn registry_hosts_are_refused() {
        for host in HOSTS {
            assert_eq!(
                found("a.sh", &format!("curl https://{host}/x")),
                1,
                "{host}"
            );
        }
    }
}

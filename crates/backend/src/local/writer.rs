//! Who writes a work file: told in its name, and asked whether it still runs.
//!
//! Process ids mean something only within one boot and one namespace: both are in the name. A
//! writer of another machine, or of an earlier boot, is never taken for dead.

use std::path::Path;
use std::sync::OnceLock;

/// `SPACE-PID`, both in hexadecimal; the space is empty where the system does not tell it.
pub(super) fn this() -> String {
    format!("{}-{:x}", space(), std::process::id())
}

/// Says whether `writer`, as in `SPACE-PID-NUMBER`, is a process that we would see, and do not.
pub(super) fn is_gone(writer: &str) -> bool {
    let mut parts = writer.split('-');
    let (Some(its_space), Some(pid), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(pid) = u32::from_str_radix(pid, 16) else {
        return false;
    };
    let is_seen = Path::new(&format!("/proc/{pid}")).exists();
    !its_space.is_empty() && its_space == space() && !is_seen
}

/// The boot (12 digits of its random id) and the namespace of process ids.
fn space() -> &'static str {
    static SPACE: OnceLock<String> = OnceLock::new();
    SPACE.get_or_init(|| find_space().unwrap_or_default())
}

fn find_space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let boot: String = boot
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let digits = |c: &char| c.is_ascii_digit();
    let number: String = namespace.to_str()?.chars().filter(digits).collect();
    let number: u64 = number.parse().ok()?;
    (boot.len() == 12).then(|| format!("{boot}{number:x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_writers_of_this_space_are_gone() {
        assert!(!is_gone(&format!("{}-0", this())), "this process runs");
        // Above the kernel's largest process id.
        assert!(is_gone(&format!("{}-ffffffff-0", space())));
        for writer in ["", "1-0", "abcdef-ffffffff-0", "-ffffffff-0", "a-b-c-d"] {
            assert!(!is_gone(writer), "{writer}");
        }
    }
}

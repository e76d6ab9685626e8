//! Who this process is.

use lifeboat_format::BlobId;
use lifeboat_repository::Owner;

/// Reads what the system says of this process.
pub(crate) fn current() -> Owner {
    let pid = std::process::id();
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let names = rustix::system::uname();
    let hostname = match std::env::var("RESTIC_HOST") {
        Ok(host) => host,
        Err(_) => names.nodename().to_string_lossy().into_owned(),
    };
    let username = std::env::var("USER").unwrap_or_else(|_| format!("uid{uid}"));
    Owner {
        hostname,
        username,
        pid,
        uid,
        gid,
        instance: instance(),
        is_alive,
    }
}

/// Machine, boot and process-id space, hashed to 16 digits.
fn instance() -> String {
    let read = |path| std::fs::read(path).unwrap_or_default();
    let mut text = read("/etc/machine-id");
    text.extend(read("/proc/sys/kernel/random/boot_id"));
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    text.extend_from_slice(space.as_os_str().as_encoded_bytes());
    BlobId::of(&text).to_string()[..16].to_owned()
}

/// Without /proc everybody counts as alive.
fn is_alive(pid: u32) -> bool {
    let has_proc = std::path::Path::new("/proc/self").exists();
    !has_proc || std::path::Path::new(&format!("/proc/{pid}")).exists()
}

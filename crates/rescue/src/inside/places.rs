//! Where things lie in the rescue VM.

/// This program.
pub(crate) const INIT: &str = "/init";
/// The host's lvm, if it has one.
pub(crate) const LVM: &str = "/bin/lvm";
/// The host's ntfs-3g, if it has one.
pub(crate) const NTFS: &str = "/bin/ntfs-3g";
/// All libraries, in one folder.
pub(crate) const LIBRARIES: &str = "/lib";
/// Modules by their names.
pub(crate) const MODULES: &str = "/modules";
/// What is loaded before what.
pub(crate) const MODULE_ORDER: &str = "/module-order";
/// Each volume's files, in a folder of its number.
pub(crate) const VOLUMES: &str = "/volumes";
/// The tree that the system inside the disks sees.
pub(crate) const SYSTEM: &str = "/system";

/// Folders that must be there.
pub(crate) const FOLDERS: [&str; 10] = [
    "/proc",
    "/sys",
    "/dev",
    "/tmp",
    "/etc/lvm",
    "/run/lock/lvm",
    "/run/lvm",
    MODULES,
    VOLUMES,
    SYSTEM,
];

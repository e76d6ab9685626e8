//! What lifeboat does with hostile input: one function per reader of bytes from outside.
//!
//! Takes any bytes; each target uses the product on them as a command would, and panics only
//! where the product does or where a promise is broken. Bytes that lie sealed in a repository
//! are given as plaintext: the target seals them, so that mutations get past authentication.
//! Does not mutate, collect or judge inputs: the fuzzer and the tests do.
//!
//! Source: DESIGN, tests: fuzz targets per parser.

mod archives;
mod memory_file;
mod nbd;
mod qcow2;
mod sealed;
mod site;
mod texts;

/// A reader of bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names it in `fuzz/targets`, `fuzz/corpus` and `fuzz/regressions`.
    pub name: &'static str,
    /// Uses the product on these bytes.
    pub run: fn(&[u8]),
}

/// Every target, by name.
pub const TARGETS: [Target; 19] = [
    target("archive", archives::archive),
    target("config", sealed::config),
    target("extents", texts::extents),
    target("index", sealed::index),
    target("key", sealed::key),
    target("lock", sealed::lock),
    target("manifest", texts::manifest),
    target("names", texts::names),
    target("pack_header", sealed::pack_header),
    target("nbd_client", nbd::client),
    target("nbd_overlay", nbd::overlay),
    target("nbd_server", nbd::server),
    target("policy", texts::policy),
    target("qcow2_bitmaps", qcow2::bitmaps),
    target("qcow2_header", qcow2::header),
    target("qcow2_image", qcow2::image),
    target("snapshot", sealed::snapshot),
    target("tree", sealed::tree),
    target("zstd", sealed::compressed),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Runs one target.
///
/// # Panics
/// When there is no target of that name, or the product or one of its promises breaks.
pub fn run(name: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|target| target.name == name);
    let target = found.unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(input);
}

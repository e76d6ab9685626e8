//! What lifeboat does with hostile input: one function per reader of bytes from outside.
//!
//! Takes any bytes; each target uses the product on them as a command would, and panics only
//! where the product does or where a promise is broken. Bytes that lie sealed in a repository
//! are given as plaintext: the target seals them, so that mutations get past authentication.
//! Does not mutate, collect or judge inputs: the fuzzer and the tests do.
//!
//! Source: DESIGN, tests: fuzz targets per parser.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

mod archives;
mod memory_file;
mod nbd;
mod qcow2;
mod rescue;
mod sealed;
mod settings;
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
pub const TARGETS: [Target; 21] = [
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
    target("rescue_frames", rescue::frames),
    target("settings", settings::settings),
    target("snapshot", sealed::snapshot),
    target("tree", sealed::tree),
    target("zstd", sealed::compressed),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Processor time that one input may take, of all threads.
pub const INPUT_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs one target; nothing else runs in this process meanwhile.
///
/// # Panics
/// When there is no target of that name, the product or one of its promises breaks, or the input
/// took more than [`INPUT_TIME_MAX`].
pub fn run(name: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|target| target.name == name);
    let target = found.unwrap_or_else(|| panic!("there is no target {name}"));
    let began = processor_time();
    (target.run)(input);
    let took = processor_time().saturating_sub(began);
    assert!(
        took <= INPUT_TIME_MAX,
        "{name}: an input of {} bytes took {took:?} of processor time",
        input.len()
    );
}

/// What this process has had of the processor: a busy machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

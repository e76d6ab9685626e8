//! What lifeboat's tests share: clocks and randomness they own, disks, suites, real programs.
//!
//! Gives deterministic fakes of the doors and one conformance suite per door, which every
//! implementation runs.
//! Does not belong to the product: only tests depend on it, from their `tests` folders.
//!
//! Source: DESIGN, tests.

mod clock;
pub mod conformance;
pub mod crash;
mod debian;
mod disk;
mod effort;
mod entropy;
mod fake_platform;
mod fleet;
pub mod journal;
mod kernel_guest;
pub mod libvirtd;
mod light_key;
mod mapped_disk;
mod port;
pub mod postgres;
mod receivers;
mod tool;

pub use clock::{FixedClock, ManualClock};
pub use debian::Debian;
pub use disk::{ChangeRule, Content, DiskPattern, PatternDisk};
pub use effort::{Effort, figure};
pub use entropy::SeededEntropy;
pub use fake_platform::{FakePlatform, PlatformFault};
pub use fleet::{Fleet, FleetMade};
pub use kernel_guest::{GuestLeft, KernelGuest};
pub use light_key::lighten_key;
pub use mapped_disk::{MappedDisk, Mapping, MemoryTarget};
pub use port::free_port;
pub use receivers::{MailServer, Manner, WebServer, header};
pub use tool::tool;

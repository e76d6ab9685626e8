//! Machines whose disks are LVM volumes: captures by snapshots, changes, new volumes.
//!
//! Takes machines with the paths of their disks, as another platform lists them; gives captures
//! with the disks' bytes at one instant, what changed since a kept snapshot, and writers onto
//! new or existing volumes.
//! Does not define, start, stop or freeze machines: the caller passes who freezes.
//!
//! Everything that is made carries tags (whose it is, of which volume, which checkpoint) and a
//! name of chance; nothing without them is ever removed.
//!
//! | what | classic volume | thin volume |
//! |---|---|---|
//! | snapshot | own store, sized by a rule, may overflow | shares its pool's room |
//! | changes | tables of a kept snapshot's store, if wanted | `thin_delta` with a kept snapshot |
//!
//! LVM has no snapshot of several volumes at one instant. Suspending all of them by `dmsetup`
//! before the first `lvcreate` was tried and refused: with thin volumes LVM loses the pool's
//! transaction number (the pool takes no snapshot any more), with classic ones it complains about
//! its own count, and a killed process leaves the machine waiting for ever. So snapshots follow
//! each other as fast as LVM makes them while the guest is frozen or paused; a finding says so
//! where it was neither.
//!
//! Source: DESIGN, row 1; lvmthin(7); trials in a guest with lvm2 2.03.16 on Linux 6.1.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod adapter;
mod build;
mod capture;
mod change;
mod cow_store;
mod local;
mod machine;
mod names;
mod own;
mod pool;
mod reader;
mod report;
mod room;
mod sweep;
mod system;
mod tags;
mod take;
mod thin_delta;
mod tools;

pub use adapter::{Doors, Lvm};
pub use cow_store::{Overwritten, ReadStore, read_store};
pub use local::LocalSystem;
pub use machine::{Machine, Sort};
pub use names::{FullName, GroupName, VolumeName};
pub use own::own_disks;
pub use report::{Group, Volume, VolumeKind};
pub use system::{Answer, AtLimit, Command, LockGuard, System};
pub use thin_delta::read_delta;

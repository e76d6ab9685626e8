//! The promises of the LVM crate, through its public door.

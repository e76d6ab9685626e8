//! Promises of the crate, one module each.

mod disks_change_only_where_they_say;
mod time_and_chance_are_repeatable;

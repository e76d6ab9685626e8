//! The promises of the LVM crate, through its public door.

mod guest;
mod inside;
mod recording;

mod captures_follow_lvms_answers;
mod programs_are_bounded;
mod real_lvm_agrees;

//! What the adapter promises, with a real libvirtd and QEMU of an ordinary user.

mod another_host;
mod broken_bitmaps_lead_to_full_captures;
mod captures_are_the_machine_at_one_instant;
mod guest;
mod guests_are_frozen_for_a_moment;
mod inventory_lists_what_can_be_protected;
mod leftovers_of_dead_runs_are_swept;
mod machines_are_built_and_undone;
mod machines_of_another_host_need_nothing_but_ssh_there;
mod machines_that_are_off_are_captured;
mod session;

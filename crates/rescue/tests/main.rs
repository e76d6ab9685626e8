//! The promises of the rescue VM, through its public door.

mod disks;
mod trees;

mod a_vm_ends_with_its_owner;
mod commands_run_inside_restored_systems;
mod damaged_file_systems_end_in_time;
mod every_file_comes_out_as_it_went_in;
mod frames_are_read_within_bounds;

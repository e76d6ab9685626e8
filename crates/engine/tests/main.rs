//! Promises of the crate, one module each.

mod a_failing_place_leaves_no_broken_copy;
mod a_source_that_fails_leaves_no_snapshot;
mod a_trial_run_stores_nothing;
mod an_incremental_equals_a_full_backup;
mod copies_are_whole_after_every_crash;
mod files;
mod files_become_chunks_and_stay_the_same;
mod flips_are_found;
mod power_may_fail_while_disks_are_stored;
mod restored_disks_are_the_disks;
mod simulated;
mod simulation_no_order_of_calls_loses_a_snapshot;
mod simulation_two_processes_meet_in_every_order;
mod snapshot_disks_can_be_read_at_any_place;
mod soak_a_long_life_leaves_nothing_behind;
mod world;

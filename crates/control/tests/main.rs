//! What the crate promises, through its public doors.

mod world;

mod hooks_run_around_a_capture;
mod limits_hold_for_all_runs_of_a_computer;
mod machines_are_backed_up_by_increments;
mod machines_come_back;
mod machines_run_from_the_repository;
mod nothing_is_kept_of_a_lost_capture;

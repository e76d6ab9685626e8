//! Promises of the crate, one module each.

mod decisions_are_restics;
mod nothing_is_lost_by_mistake;
mod pins_proofs_and_the_brake_hold;
mod restic;
mod runs_begin_when_they_may;
mod schedules_mean_what_is_written;
mod schedules_survive_changes_of_clocks;
mod simulations_decide_as_runs_do;

//! Every promise of this crate that needs a catalog.

mod conditions_begin_and_clear;
mod nodes_end_in_the_middle;
mod play;
mod points_are_read_proved_and_spared;
mod runs_begin_when_they_are_due;
mod tasks_have_turns_and_are_repeated;
mod world;

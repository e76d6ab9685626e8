//! Every promise of this crate that needs a catalog.

mod a_fleet_is_kept_for_90_days;
mod conditions_begin_and_clear;
mod fleet;
mod machines_of_one_name_stay_apart;
mod nodes_end_in_the_middle;
mod nodes_with_wrong_clocks_begin_nothing;
mod oracle;
mod play;
mod points_are_read_proved_and_spared;
mod real;
mod runs_begin_when_they_are_due;
mod speed_is_measured;
mod tasks_have_turns_and_are_repeated;
mod world;

//! Promises of the crate, one module each.

mod entries_fit_together;
mod files_of_shells_are_read_as_shells_do;
mod findings_say_where_and_what;
mod hostile_settings_stay_in_their_place;
mod settings_of_other_programs_are_carried_over;
mod shown_datastores_are_told_apart_from_templates;
mod the_settings_are_those_that_the_reader_knows;
mod trial;
mod variables_mean_what_their_program_did;

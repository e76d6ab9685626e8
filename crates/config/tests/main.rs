//! Promises of the crate, one module each.

mod entries_fit_together;
mod findings_say_where_and_what;
mod the_settings_are_those_that_the_reader_knows;

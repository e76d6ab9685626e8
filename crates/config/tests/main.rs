//! Promises of the crate, one module each.

mod findings_say_where_and_what;

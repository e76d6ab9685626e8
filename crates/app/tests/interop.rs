//! Stock programs and lifeboat work in one repository, and each reads what the others wrote.

mod all_write_in_turn;
mod locks_are_respected;
mod site;
mod stock_programs_read_everything;

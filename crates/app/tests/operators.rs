//! What people see who look after it: state, findings, reports, a terminal.

pub(crate) mod a_terminal_is_given_back;
pub(crate) mod a_wizard_finds_real_machines;
pub(crate) mod acts_are_written_down;
pub(crate) mod configurations_are_read_anew;
pub(crate) mod findings_say_what_to_do;
pub(crate) mod machines_of_one_name_are_told_apart;
pub(crate) mod months_become_reports;
pub(crate) mod packages_come_and_go;
pub(crate) mod services_answer_systemd;
pub(crate) mod site;
pub(crate) mod states_are_one_sentence;
pub(crate) mod terminal;
pub(crate) mod units_work_under_systemd;

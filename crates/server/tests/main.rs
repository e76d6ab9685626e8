//! Promises of the crate, one module each.

mod demo_fleet;
mod stage;

mod catalogs_of_repositories_are_sent;
mod changes_are_written_down;
mod every_route_has_its_roles;
mod guesses_are_slowed_and_lock_nobody_out;
mod lists_come_part_by_part;
mod machines_of_one_name_have_their_own_pages;
mod metrics_are_as_prometheus_wants_them;
mod pages_answer_and_escape;
mod pages_say_why_and_show_what_is;
mod points_are_looked_into_safely;
mod tasks_are_done_once_more;
mod the_dashboard_works_in_a_browser;
mod the_document_says_what_is_answered;
mod the_first_page_answers;
mod those_who_listen_miss_nothing;
mod too_much_is_refused;
mod trust_is_by_certificate;

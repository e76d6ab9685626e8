//! What the catalog promises, in SQLite and in PostgreSQL.

mod beds;
mod connections_are_secret;
mod crashes_lose_nothing;
mod damage_and_other_versions_are_told;
mod locks_of_a_file_are_kept;
mod one_node_carries_a_task;
mod rows_come_back_as_they_were;
mod runs_begin_once;
mod speed_is_measured;
mod tasks_end_as_they_should;
mod the_audit_log_shows_tampering;
mod what_is_left_behind_is_ended;

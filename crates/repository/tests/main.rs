//! Promises of the crate, one module each.

mod a_crash_leaves_a_whole_repository;
mod a_failing_place_leaves_no_broken_snapshot;
mod damage_is_found;
mod hostile_content_costs_little;
mod locks_exclude_as_the_table_says;
mod passwords_open_and_only_they;
mod power_may_fail_at_any_call;
mod prune_and_backup_can_meet_anywhere;
mod prune_keeps_every_snapshot;
mod repairs_and_prunes_go_together;
mod repairs_destroy_nothing;
mod repairs_keep_what_is_sound;
mod the_index_finds_what_files_list;
mod world;
mod writers_store_each_blob_once;

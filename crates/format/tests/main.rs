//! What the format promises, one file per promise.

mod blobs_come_back_under_their_name;
mod config_keeps_what_others_wrote;
mod every_damage_is_an_error;
mod golden_repositories_are_read;
mod index_lists_packs;
mod keys_open_with_their_password_only;
mod labels_and_manifests_come_back;
mod packs_tell_what_they_hold;
mod real_restic_accepts_ours;
mod sandbox;
mod snapshots_keep_restics_shape;
mod times_are_written_as_go_does;
mod trees_equal_restics_bytes;

//! The promises of the disk crate, through its public door.

mod qemu;

mod bitmaps_give_what_was_written;
mod block_devices_are_overwritten_only_when_free;
mod extent_lists_are_read_strictly;
mod hostile_images_are_refused_calmly;
mod names_in_images_are_followed_only_when_allowed;
mod overlays_tell_what_they_define;
mod qcow2_reads_as_qemu_reads_it;
mod qcow2_writer_makes_sound_images;
mod raw_disks_are_read_and_written;

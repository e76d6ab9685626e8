//! Tests of hostile input.

mod every_kept_input_is_survived;
mod mutated_images_read_as_qemu_reads_them;

//! Promises of mounts: a folder of the host stands for the disks.

mod folder;

mod trees_are_shown_as_they_are;

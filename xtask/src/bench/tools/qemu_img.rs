//! qemu-img: no backup program, but what people use to shrink a disk.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Backup, Tool, command, version_word};
use crate::bench::measure::Call;
use crate::bench::place::Place;
use crate::bench::rows::Suite;

/// `qemu-img convert -c`, the qcow2 file counting as repository.
#[derive(Debug)]
pub(crate) struct QemuImg;

impl QemuImg {
    fn program() -> PathBuf {
        PathBuf::from("qemu-img")
    }
}

impl Tool for QemuImg {
    fn name(&self) -> &'static str {
        "qemu-img"
    }

    fn version(&self) -> Result<String> {
        version_word(&Self::program(), "--version", 2)
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite == Suite::Sparse
    }

    fn init(&self, place: &Place) -> Vec<Call> {
        let mut command = Command::new("mkdir");
        command.arg(place.repository());
        vec![command.into()]
    }

    fn backup(&self, place: &Place, _backup: Backup<'_>) -> Option<Vec<Call>> {
        let mut command = command(&Self::program(), place);
        command.args(["convert", "-f", "raw", "-O", "qcow2", "-c"]);
        command.args(["-o", "compression_type=zstd"]);
        command.arg(place.disk());
        command.arg(place.repository().join("disk.qcow2"));
        Some(vec![command.into()])
    }
}

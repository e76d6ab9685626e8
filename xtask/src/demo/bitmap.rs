//! QEMU's persistent dirty bitmap inside the qcow2 image: it records what a guest writes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// One kind of extent in the sums of `nbdinfo --map --totals`.
#[derive(Debug, Deserialize)]
struct Total {
    size: u64,
    description: String,
}

/// Begins to record changes; QEMU keeps the bitmap up to date whenever it has the image open.
pub(crate) fn add(image: &Path, name: &str) -> Result<()> {
    let mut command = Command::new("qemu-img");
    process::quiet(command.args(["bitmap", "--add"]).arg(image).arg(name))
}

/// How much changed, as QEMU's own NBD server tells it.
pub(crate) fn dirty_bytes(image: &Path, name: &str) -> Result<u64> {
    let mut command = Command::new("nbdinfo");
    command
        .arg(format!("--map=qemu:dirty-bitmap:{name}"))
        .args(["--totals", "--json", "--"]);
    command.args(["[", "qemu-nbd", "--read-only", "--format=qcow2"]);
    command.arg(format!("--bitmap={name}")).arg(image).arg("]");
    dirty(&process::output(&mut command)?)
}

fn dirty(totals: &str) -> Result<u64> {
    let totals: Vec<Total> = serde_json::from_str(totals).context("reading nbdinfo's totals")?;
    Ok(totals
        .iter()
        .filter(|total| total.description == "dirty")
        .map(|total| total.size)
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dirty_extents_count() {
        let text = r#"[{ "size": 2146435072, "percent": 99.9, "type": 0, "description": "clean" },
            { "size": 1048576, "percent": 0.04, "type": 1, "description": "dirty" }]"#;
        assert_eq!(dirty(text).unwrap(), 1_048_576);
        assert_eq!(dirty("[]").unwrap(), 0);
    }
}

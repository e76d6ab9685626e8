//! Writes of single pages at random places, as a database makes them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::noise::Noise;

/// Sizes of a write; small ones are as frequent as the others together.
const PAGE_BYTES: [u64; 4] = [4096, 4096, 8192, 16384];

/// Overwrites pages of a file in place: half of each page is noise, half is text.
pub(crate) fn write(path: &Path, writes: u64, seed: u64) -> Result<()> {
    let file = File::options().read(true).write(true).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let size = file.metadata()?.len();
    let mut noise = Noise::new(seed);
    for index in 0..writes {
        let bytes = noise.pick(&PAGE_BYTES).unwrap_or(PAGE_BYTES[0]);
        let at = noise.below(size / bytes) * bytes;
        let page = page(&mut noise, bytes, index);
        file.write_all_at(&page, at)
            .with_context(|| format!("writing a page of {}", path.display()))?;
    }
    file.sync_all().context("bringing pages to the disk")
}

fn page(noise: &mut Noise, bytes: u64, index: u64) -> Vec<u8> {
    let bytes = usize::try_from(bytes).unwrap_or_default();
    let mut page = noise.digits(bytes / 2);
    let row = format!("{index:08}|row changed|account@example\n").into_bytes();
    page.extend(row.iter().cycle().take(bytes - bytes / 2));
    page
}

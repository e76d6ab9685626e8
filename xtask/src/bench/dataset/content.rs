//! What machines write by themselves: tables of a database, and logs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::noise::Noise;

const PAGE_BYTES: usize = 16 << 10;
/// Where the last row of a page may begin.
const ROWS_END: usize = 15_800;
const NAMES: [&str; 12] = [
    "alma", "boris", "chen", "dora", "emil", "farid", "grete", "hana", "ivo", "jona", "kala",
    "luis",
];
const STATES: [u64; 7] = [200, 200, 200, 204, 304, 404, 500];

/// A table space: pages of short rows, half words and half noise, with an empty end.
pub(crate) fn write_table(path: &Path, pages: u64, seed: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path).context("creating a table space")?);
    let mut noise = Noise::new(seed);
    for index in 0..pages {
        file.write_all(&table_page(&mut noise, index))
            .context("writing a table space")?;
    }
    file.flush().context("writing a table space")
}

fn table_page(noise: &mut Noise, index: u64) -> Vec<u8> {
    let mut page = format!("PAGE{index:012}").into_bytes();
    let mut row = 0;
    while page.len() < ROWS_END {
        let (first, second) = (name(noise), name(noise));
        let token = String::from_utf8_lossy(&noise.digits(24)).into_owned();
        let (month, day) = (1 + noise.below(12), 1 + noise.below(28));
        let (number, amount) = (index * 120 + row, noise.below(1_000_000));
        let text = format!(
            "{number:08}|{first}|{second}@example|{token}|2026-{month:02}-{day:02}|{amount}\n"
        );
        page.extend(text.into_bytes());
        row += 1;
    }
    page.resize(PAGE_BYTES, 0);
    page
}

fn name(noise: &mut Noise) -> &'static str {
    noise.pick(&NAMES).unwrap_or_default()
}

/// Adds so many MiB of lines to a log.
pub(crate) fn extend_log(path: &Path, mebibytes: u64, seed: u64) -> Result<()> {
    let file = File::options().create(true).append(true).open(path);
    let mut file = BufWriter::new(file.context("opening a log")?);
    let mut noise = Noise::new(seed);
    let mut left = mebibytes << 20;
    while left > 0 {
        let line = log_line(&mut noise);
        file.write_all(line.as_bytes()).context("writing a log")?;
        left = left.saturating_sub(line.len() as u64);
    }
    file.flush().context("writing a log")
}

fn log_line(noise: &mut Noise) -> String {
    let (day, hour) = (1 + noise.below(28), noise.below(24));
    let (minute, second) = (noise.below(60), noise.below(60));
    let (process, request) = (300 + noise.below(31_700), noise.next());
    let (item, state) = (noise.below(100_000), noise.pick(&STATES).unwrap_or(200));
    let spent = noise.below(1_000_000);
    format!(
        "2026-11-{day:02}T{hour:02}:{minute:02}:{second:02} web shop[{process}]: \
         request={request:016x} path=/shop/item/{item} state={state} took={spent}us\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_their_size_and_differ() {
        let mut noise = Noise::new(3);
        let (one, two) = (table_page(&mut noise, 1), table_page(&mut noise, 2));
        assert_eq!((one.len(), two.len()), (PAGE_BYTES, PAGE_BYTES));
        assert_ne!(one, two);
        assert!(log_line(&mut noise).starts_with("2026-11-"));
    }
}

//! A machine's life: writes to two disks for ever, so that their content can be judged at any
//! instant.
//!
//! Is the first process of a small guest, with busybox beside it, or a service of a larger one.
//! Takes `JOURNAL` and `JOURNAL_SEED` from the environment (the kernel passes what it does not
//! know), or arguments; tells what it does on standard output, the guest's console.
//! Does not need anything but the standard library: tests compile it alone, as a static program.
//!
//! Record n is durable on the second disk only after it is durable on the first, and record n + 1
//! is begun only after both have n. What a record orders is done after the record is durable. So
//! at any instant the journals differ by one record at most, and files are what all records but
//! the last have made of them, while the last one's order may be done, undone or half done.

mod boot;
mod disk;
mod judge;
mod record;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use disk::Disk;
use record::Record;

const USAGE: &str = "use: journal keep SEED FOLDER FOLDER | journal judge FOLDER FOLDER";

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return boot::run();
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["keep", seed, first, second] => match seed.parse() {
            Ok(seed) => keep(seed, &[first.into(), second.into()]),
            Err(_) => Err(io::Error::other(USAGE)),
        },
        ["judge", first, second] => {
            tell(&verdict(Path::new(first), Path::new(second)));
            Ok(())
        }
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line on the console; a console that does not take it changes nothing.
fn tell(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "journal: {line}").and_then(|()| out.flush());
}

/// Says what the disks hold, then goes on with it; ends only by an error.
fn keep(seed: u64, folders: &[PathBuf; 2]) -> io::Result<()> {
    tell(&format!("found {}", verdict(&folders[0], &folders[1])));
    let [mut first, mut second] = [Disk::open(&folders[0])?, Disk::open(&folders[1])?];
    if let Some(last) = first.last() {
        first.obey(&last)?;
        if second.count() < first.count() {
            second.append(&last)?;
        }
        second.obey(&last)?;
    }
    loop {
        let record = Record::plan(seed, first.count() + 1);
        for disk in [&mut first, &mut second] {
            disk.append(&record)?;
            disk.obey(&record)?;
        }
        tell(&format!("kept {}", record.number));
    }
}

/// `sound N M`: records on both disks, all as they must be; else `broken: ` and what is wrong.
fn verdict(first: &Path, second: &Path) -> String {
    match judge::both(first, second) {
        Ok([first, second]) => format!("sound {first} {second}"),
        Err(wrong) => format!("broken: {wrong}"),
    }
}

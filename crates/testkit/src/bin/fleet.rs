//! `cargo xtask fleet`: makes a repository as large as a fleet of machines makes it.
//!
//! Takes counts and a folder; tells what was made.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use lifeboat_model::{ByteCount, Secret};
use lifeboat_testkit::Fleet;

const USAGE: &str = "\
usage: cargo xtask fleet [--snapshots N] [--blobs N] [--disk-chunks N] [--chunk-size BYTES]
                         [--seed N] [--password-file FILE] FOLDER

Makes a sound restic repository with N snapshots and an index of N blobs.
The packs of disks are not there: list and look, do not restore.
Without a password file the password is \"lifeboat\".";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Wanted {
    fleet: Fleet,
    folder: PathBuf,
    password: Secret,
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let wanted = parse(arguments)?;
    let began = Instant::now();
    let made = wanted
        .fleet
        .make(&wanted.folder, &wanted.password)
        .map_err(|error| format!("cannot make {}: {error}", wanted.folder.display()))?;
    println!(
        "{}: {} snapshots of {} machines, disks of {}, {} blobs in {} index files, {:.1} s",
        wanted.folder.display(),
        made.snapshots,
        made.machines,
        ByteCount(made.disk_bytes),
        made.blobs,
        made.index_files,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut fleet = Fleet::default();
    let (mut folder, mut password) = (None, b"lifeboat".to_vec());
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let next = arguments.next();
            next.ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"))
        };
        match argument.as_str() {
            "--snapshots" => fleet.snapshots = number(&value()?)?,
            "--blobs" => fleet.blobs = number(&value()?)?,
            "--disk-chunks" => fleet.disk_chunks = number(&value()?)?,
            "--seed" => fleet.seed = number(&value()?)?,
            "--chunk-size" => fleet.chunk_bytes = chunk_bytes(&value()?)?,
            "--password-file" => password = read_password(&value()?)?,
            text if text.starts_with('-') || folder.is_some() => {
                return Err(format!("unknown argument {text}\n\n{USAGE}"));
            }
            text => folder = Some(PathBuf::from(text)),
        }
    }
    let folder = folder.ok_or_else(|| USAGE.to_owned())?;
    Ok(Wanted {
        fleet,
        folder,
        password: Secret::new(password),
    })
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    let wrong = |_| format!("\"{text}\" is not a whole number\n\n{USAGE}");
    text.replace('_', "").parse().map_err(wrong)
}

fn chunk_bytes(text: &str) -> Result<u32, String> {
    let wrong = || format!("--chunk-size {text}: write a multiple of 8 KiB up to 8 MiB, like 128K");
    let ByteCount(bytes) = text.parse().map_err(|_| wrong())?;
    let is_sound = bytes > 0 && bytes <= 8 << 20 && bytes % (8 << 10) == 0;
    is_sound.then_some(bytes as u32).ok_or_else(wrong)
}

/// The first line, as lifeboat and restic read it.
fn read_password(path: &str) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).as_bytes().to_vec())
}

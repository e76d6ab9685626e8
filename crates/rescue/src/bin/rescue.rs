//! Looks into disks by hand:
//! `rescue DISK-URI... -- volumes | ls PATH | get PATH FOLDER | run WORD...`
//!
//! Is also what runs inside the rescue VM of this crate's tests.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lifeboat_model::CancelToken;
use lifeboat_rescue::{Access, Command, Disk, GuestPath, LastLink, Rescue, Settings, unpack};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    if let Some(code) = lifeboat_rescue::enter() {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut parts = arguments.splitn(2, |word| word == "--");
    let uris = parts.next().unwrap_or_default();
    let words: Vec<_> = parts
        .next()
        .unwrap_or_default()
        .iter()
        .map(String::as_str)
        .collect();
    let names = (b'a'..=b'z').map(|letter| format!("vd{}", char::from(letter)));
    let disks = uris
        .iter()
        .zip(names)
        .map(|(uri, name)| Disk::from_uri(&name, uri));
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    let access = match words.first() {
        Some(&"run") => Access::Write,
        _ => Access::Read,
    };
    let settings = Settings::new(&std::env::temp_dir().join("lifeboat-rescue"));
    let mut rescue = Rescue::start(&disks, access, &settings, &CancelToken::new())?;
    match words[..] {
        ["volumes"] => show_volumes(&rescue),
        ["ls", path] => list(&mut rescue, path)?,
        ["get", path, folder] => get(&mut rescue, path, folder)?,
        ["run", ref words @ ..] => execute(&mut rescue, words)?,
        _ => {
            return Err(
                "use: DISK-URI... -- volumes | ls PATH | get PATH FOLDER | run WORD...".into(),
            );
        }
    }
    Ok(rescue.finish()?)
}

fn show_volumes(rescue: &Rescue) {
    for volume in rescue.volumes() {
        let at = volume.mounted_at.as_deref().unwrap_or("-");
        println!(
            "{}\t{}\t{}\t{}\t{}\t{at}\t{}",
            volume.name, volume.size, volume.content, volume.label, volume.uuid, volume.note
        );
    }
}

fn list(rescue: &mut Rescue, path: &str) -> Outcome {
    for entry in rescue.list(&path.parse()?)? {
        let name = entry.name.escape_ascii();
        println!(
            "{:?}\t{:04o}\t{}\t{name}",
            entry.kind, entry.mode, entry.size
        );
    }
    Ok(())
}

fn get(rescue: &mut Rescue, path: &str, folder: &str) -> Outcome {
    let name = path
        .trim_end_matches('/')
        .rsplit(['/', ':'])
        .next()
        .unwrap_or("");
    let name = if name.is_empty() { "root" } else { name };
    let path: GuestPath = path.parse()?;
    let mut walk = rescue.walk(&path, LastLink::Kept)?;
    let unpacked = unpack(&mut walk, Path::new(folder), name.as_bytes())?;
    for (path, text) in &unpacked.findings {
        eprintln!("{path}: {text}");
    }
    println!("{} files, {} bytes", unpacked.files, unpacked.bytes);
    Ok(())
}

fn execute(rescue: &mut Rescue, words: &[&str]) -> Outcome {
    let path = "/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let ran = rescue.run(&Command {
        words: words.iter().map(ToString::to_string).collect(),
        environment: vec![("PATH".into(), path)],
        limit: Duration::from_secs(600),
        output_bytes_max: 1 << 20,
    })?;
    std::io::stdout().write_all(&ran.output)?;
    println!("exit code {}", ran.code);
    Ok(())
}

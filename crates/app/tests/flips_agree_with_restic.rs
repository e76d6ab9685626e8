//! Of a mutated repository lifeboat and the newest restic say the same: whole or damaged.
//!
//! A failing case names its seed; `LIFEBOAT_FLIP_SEED` runs that one alone.
//!
//! There is one deliberate difference, see [`is_deliberate`]: a key file that nobody wrote beside a
//! good one is damage to lifeboat, and to restic only if it comes upon that file first.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_testkit::{ChangeRule, DiskPattern, Effort, SeededEntropy, figure, lighten_key, tool};

use crate::{Place, trial};

/// A repository on disk, small and with a key that opens fast.
struct Site {
    place: Place,
    restic: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Turned,
    Cut,
    Zeroed,
    Removed,
    Rubbish,
    /// Exchanged with another file of its kind.
    Exchanged,
    /// Another file beside it: rubbish under any name.
    Stranger,
    /// Another file beside it: its content under another name.
    Doubled,
}

const HARMS: [Harm; 8] = [
    Harm::Turned,
    Harm::Cut,
    Harm::Zeroed,
    Harm::Removed,
    Harm::Rubbish,
    Harm::Exchanged,
    Harm::Stranger,
    Harm::Doubled,
];

/// Folders of the repository; the configuration is in none.
const FOLDERS: [&str; 5] = ["", "keys", "snapshots", "index", "data"];

impl Site {
    fn new() -> Option<Self> {
        let restic = tool("restic-new")?;
        let place = Place::new();
        place.lifeboat(&["-r", "r", "--pack-size", "4M", "init"]);
        let mut disk = DiskPattern::new(7, 3 << 20).disk();
        place.backup("r", &disk);
        let rule = ChangeRule {
            area_count: 5,
            area_bytes_max: 100_000,
            grain: 512,
        };
        disk.change(&SeededEntropy::new(3), rule);
        place.backup("r", &disk);
        lighten_key(&place.path("r"), "geheim");
        let site = Self { place, restic };
        let sound = site.verdicts();
        assert!(sound.ours && sound.restics, "{}", sound.shown());
        Some(site)
    }

    /// Files of that folder; of none: the configuration.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let root = self.place.path("r");
        if folder.is_empty() {
            return vec![root.join("config")];
        }
        trial::files(&root.join(folder))
    }

    /// Whether lifeboat and restic call it whole, and what each said.
    fn verdicts(&self) -> Verdicts {
        let ours = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
        let check = ["-r", "r", "--no-lock", "check", "--read-data"];
        let ours = self.place.command(ours, &check);
        let check = [&check[..], &["--no-cache"]].concat();
        let theirs = self.place.command(&self.restic, &check);
        let said = [&ours, &theirs].map(|output| {
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            out + &String::from_utf8_lossy(&output.stderr)
        });
        assert!(!said[0].contains("panicked"), "{}", said[0]);
        let [said_by_us, said_by_restic] = said;
        Verdicts {
            ours: ours.status.success(),
            restics: theirs.status.success(),
            said_by_us,
            said_by_restic,
        }
    }
}

/// Whether each of the two calls the repository whole, and its words.
struct Verdicts {
    ours: bool,
    restics: bool,
    said_by_us: String,
    said_by_restic: String,
}

impl Verdicts {
    fn shown(&self) -> String {
        let Self {
            ours,
            restics,
            said_by_us,
            said_by_restic,
        } = self;
        format!("ours {ours}:\n{said_by_us}\nrestic's {restics}:\n{said_by_restic}")
    }
}

/// What is done to one file; taken back when dropped.
struct Mutation {
    was: Vec<(PathBuf, Option<Vec<u8>>)>,
    file: PathBuf,
    folder: &'static str,
    harm: Harm,
}

impl Mutation {
    fn new(site: &Site, seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let folder = FOLDERS[entropy.below(FOLDERS.len() as u64) as usize];
        let files = site.files(folder);
        let file = files[entropy.below(files.len() as u64) as usize].clone();
        let mut harm = HARMS[entropy.below(HARMS.len() as u64) as usize];
        if files.len() < 2 && harm == Harm::Exchanged || folder.is_empty() {
            harm = [Harm::Turned, Harm::Cut, Harm::Removed][entropy.below(3) as usize];
        }
        let mut mutation = Self {
            was: Vec::new(),
            file: file.clone(),
            folder,
            harm,
        };
        let content = fs::read(&file).unwrap();
        let at = entropy.below(content.len() as u64) as usize;
        let mut bytes = content.clone();
        let stranger = stranger(&file, &entropy);
        match harm {
            Harm::Turned => bytes[at] ^= 1 << entropy.below(8),
            Harm::Cut => bytes.truncate(at),
            Harm::Zeroed => {
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0);
            }
            Harm::Removed => return mutation.with(&file, None),
            Harm::Rubbish => bytes = entropy.bytes(300),
            Harm::Exchanged => {
                let others: Vec<_> = files.iter().filter(|other| **other != file).collect();
                let other = others[entropy.below(others.len() as u64) as usize];
                bytes = fs::read(other).unwrap();
                mutation = mutation.with(other, Some(&content));
            }
            Harm::Stranger => return mutation.with(&stranger, Some(&entropy.bytes(300))),
            Harm::Doubled => return mutation.with(&stranger, Some(&content)),
        }
        mutation.with(&file, Some(&bytes))
    }

    fn of_key(key: &Path, harm: Harm) -> Self {
        Self {
            was: Vec::new(),
            file: key.to_owned(),
            folder: "keys",
            harm,
        }
    }

    fn with(mut self, path: &Path, content: Option<&[u8]>) -> Self {
        self.was.push((path.to_owned(), fs::read(path).ok()));
        put(path, content);
        self
    }

    fn shown(&self) -> String {
        format!(
            "{:?} of {} in \"{}\"",
            self.harm,
            self.file.display(),
            self.folder
        )
    }
}

impl Drop for Mutation {
    fn drop(&mut self) {
        for (path, content) in &self.was {
            put(path, content.as_deref());
        }
    }
}

fn put(path: &Path, content: Option<&[u8]>) {
    let _ = fs::remove_file(path);
    if let Some(content) = content {
        fs::write(path, content).unwrap();
    }
}

/// A name beside the file, where a listing finds it.
fn stranger(file: &Path, entropy: &SeededEntropy) -> PathBuf {
    let id: String = entropy
        .bytes(32)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let data = file
        .parent()
        .and_then(Path::parent)
        .filter(|up| up.ends_with("data"));
    match data {
        Some(data) => {
            fs::create_dir_all(data.join(&id[..2])).unwrap();
            data.join(&id[..2]).join(id)
        }
        None => file.with_file_name(id),
    }
}

/// Whether lifeboat calls damaged on purpose what restic calls whole.
///
/// restic tries keys in the order of the directory. A file that nobody wrote under its name
/// (rubbish, or a good key under a second name) ends it with an error when it comes first, and is
/// never looked at when a good key comes first. lifeboat opens the repository in every order, and
/// tells of every key file that is not what its name says: a password may be lost with it.
fn is_deliberate(mutation: &Mutation, verdicts: &Verdicts) -> bool {
    let is_strange = matches!(mutation.harm, Harm::Stranger | Harm::Doubled);
    mutation.folder == "keys" && is_strange && !verdicts.ours && verdicts.restics
}

/// Whether lifeboat, and not only restic, says which file it is.
fn is_named_by_us(mutation: &Mutation, verdicts: &Verdicts) -> bool {
    let mut names = mutation.was.iter().map(|(path, _)| {
        let name = path.file_name().unwrap().to_string_lossy();
        name[..name.len().min(8)].to_owned()
    });
    names.any(|name| verdicts.said_by_us.contains(&name))
}

#[test]
fn a_mutated_repository_is_whole_to_both_or_damaged_to_both() {
    let Some(site) = Site::new() else { return };
    let seeds: Vec<u64> = match std::env::var("LIFEBOAT_FLIP_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..Effort::current().pick(40, 600)).collect(),
    };
    let (mut same, mut damaged, mut differences, mut wrong) = (0, 0, 0, Vec::new());
    for seed in &seeds {
        let mutation = Mutation::new(&site, *seed);
        let verdicts = site.verdicts();
        let shown = || format!("seed {seed}: {}: {}", mutation.shown(), verdicts.shown());
        damaged += usize::from(!verdicts.ours);
        if verdicts.ours == verdicts.restics {
            same += 1;
        } else if is_deliberate(&mutation, &verdicts) {
            differences += 1;
        } else {
            wrong.push(shown());
        }
        let is_lost = mutation.harm == Harm::Removed;
        let is_named = is_named_by_us(&mutation, &verdicts);
        assert!(verdicts.ours || is_lost || is_named, "{}", shown());
    }
    assert!(
        wrong.is_empty(),
        "{} differ: {}",
        wrong.len(),
        wrong.join("\n")
    );
    let figure = |what: &str, count| {
        figure(
            "flips",
            &format!("verdicts beside the newest restic: {what}"),
            count,
        );
    };
    figure("repositories", seeds.len());
    figure("same", same);
    figure("of those damaged", damaged);
    figure("deliberate differences, all in key files", differences);
}

#[test]
fn a_key_file_that_nobody_wrote_is_told_by_lifeboat_and_by_restic_if_it_comes_first() {
    let Some(site) = Site::new() else { return };
    let key = site.files("keys").remove(0);
    let content = fs::read(&key).unwrap();
    for first in ["00", "ff"] {
        let strange = key.with_file_name(first.repeat(32));
        for (harm, bytes) in [(Harm::Stranger, &b"rubbish"[..]), (Harm::Doubled, &content)] {
            let mutation = Mutation::of_key(&key, harm).with(&strange, Some(bytes));
            let verdicts = site.verdicts();
            let shown = || format!("{}: {}", mutation.shown(), verdicts.shown());
            assert!(
                !verdicts.restics || is_deliberate(&mutation, &verdicts),
                "{}",
                shown()
            );
            assert!(is_named_by_us(&mutation, &verdicts), "{}", shown());
            // The repository opens all the same.
            assert!(
                verdicts.said_by_us.contains("checked 2 snapshots"),
                "{}",
                shown()
            );
        }
    }
}

#[test]
fn a_key_that_opens_and_is_not_what_was_written_is_damage_to_both() {
    let Some(site) = Site::new() else { return };
    let key = site.files("keys").remove(0);
    let mut turned = fs::read(&key).unwrap();
    let at = turned.windows(8).position(|part| part == b"username");
    // Another letter of the user's name.
    turned[at.unwrap() + 11] ^= 2;
    let mutation = Mutation::of_key(&key, Harm::Turned).with(&key, Some(&turned));
    let verdicts = site.verdicts();
    assert!(!verdicts.ours && !verdicts.restics, "{}", verdicts.shown());
    assert!(is_named_by_us(&mutation, &verdicts), "{}", verdicts.shown());
}

//! What is inside recovery points: listed and read by children of this program, kept for a while.
//!
//! Takes a point and a place in it and gives what a child has told, or says that one is looking.
//! Does not open repositories, and never waits on the threads that answer.

mod answers;
mod found;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifeboat_catalog::{Point, PointKey};
use tokio::sync::{Semaphore, watch};

use crate::commands;
use crate::state::State;

pub(crate) use answers::{__path_file, __path_files, BYTES_MAX, below, file, files, raw_value};
pub use found::{Found, GuestEntry, GuestFolder, GuestKind, GuestVolume, InsidePlace, StoredFile};

/// Rescue VMs at the same time, lists of snapshots, and files that are read.
const LISTINGS: usize = 2;
const STORED: usize = 2;
const READS: usize = 4;
/// Listings that run or wait for their turn.
const WAITING_MAX: usize = 16;
/// How long one listing may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Limits: entries that are kept of all points, and for how long nobody asks for them.
const KEPT_MAX: usize = 400_000;
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// Levels below a folder that are listed with it, since starting a rescue VM takes longest.
const DEPTH: &str = "2";

/// What was found in points, and who looks.
pub(crate) struct Browsing {
    kept: Mutex<BTreeMap<PointKey, Opened>>,
    changed: watch::Sender<()>,
    listings: Arc<Semaphore>,
    stored: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// What is known of one point.
#[derive(Default)]
struct Opened {
    used: Duration,
    found: BTreeMap<InsidePlace, Arc<Found>>,
    underway: BTreeSet<InsidePlace>,
    failed: BTreeMap<InsidePlace, String>,
}

/// What is known of a place.
#[derive(Clone, Debug)]
pub enum Looked {
    /// It was listed.
    Found(Arc<Found>),
    /// A child looks, or waits for its turn.
    Underway,
    /// The last try failed, for this reason.
    Failed(String),
}

impl Browsing {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            changed: watch::Sender::new(()),
            listings: Arc::new(Semaphore::new(LISTINGS)),
            stored: Arc::new(Semaphore::new(STORED)),
            reads: Arc::new(Semaphore::new(READS)),
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PointKey, Opened>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found already at a place.
    pub(crate) fn known(&self, key: &PointKey, place: &InsidePlace) -> Option<Arc<Found>> {
        self.kept().get(key)?.found.get(place).cloned()
    }

    /// Keeps what was found, and lets go of what nobody has asked for longest.
    fn keep(&self, key: &PointKey, place: &InsidePlace, found: Found) {
        let mut kept = self.kept();
        let opened = kept.entry(key.clone()).or_default();
        opened.failed.remove(place);
        opened.found.insert(place.clone(), Arc::new(found));
        let weight = |opened: &Opened| opened.found.values().map(|it| it.count()).sum::<usize>();
        let mut all: usize = kept.values().map(weight).sum();
        while all > KEPT_MAX {
            let others = kept.iter().filter(|(other, _)| *other != key);
            let Some(oldest) = others
                .min_by_key(|(_, it)| it.used)
                .map(|(key, _)| key.clone())
            else {
                break;
            };
            if let Some(opened) = kept.remove(&oldest) {
                all -= weight(&opened);
            }
        }
        if all > KEPT_MAX
            && let Some(opened) = kept.get_mut(key)
        {
            opened.found.retain(|other, _| other == place);
        }
        drop(kept);
        self.changed.send_replace(());
    }

    fn end(&self, key: &PointKey, place: &InsidePlace, ended: Result<(), String>) {
        let mut kept = self.kept();
        if let Some(opened) = kept.get_mut(key) {
            opened.underway.remove(place);
            let is_found = opened.found.contains_key(place);
            match ended {
                Err(text) if !is_found => drop(opened.failed.insert(place.clone(), text)),
                Ok(()) if !is_found => {
                    let text = "it was not among what was listed".to_owned();
                    opened.failed.insert(place.clone(), text);
                }
                _ => {}
            }
        }
        drop(kept);
        self.changed.send_replace(());
    }
}

/// What is at a place of a point. Somebody begins to look unless it is known; what failed is
/// tried again only if `is_again`.
pub(crate) fn look(
    state: &Arc<State>,
    point: &Point,
    place: &InsidePlace,
    is_again: bool,
) -> Looked {
    let browsing = &state.browsing;
    let now = state.clock.monotonic();
    let mut kept = browsing.kept();
    kept.retain(|_, it| !it.underway.is_empty() || now.saturating_sub(it.used) < KEPT_FOR);
    let waiting: usize = kept.values().map(|it| it.underway.len()).sum();
    let opened = kept.entry(point.key.clone()).or_default();
    opened.used = now;
    if let Some(found) = opened.found.get(place) {
        return Looked::Found(Arc::clone(found));
    }
    // A rescue VM that is on its way may tell of this place, too.
    let is_same = |other: &InsidePlace| other.is_stored() == place.is_stored();
    if opened.underway.iter().any(is_same) {
        return Looked::Underway;
    }
    match opened.failed.get(place) {
        Some(text) if !is_again => return Looked::Failed(text.clone()),
        _ => {}
    }
    if waiting >= WAITING_MAX {
        return Looked::Failed("many others look into points now; try again soon".to_owned());
    }
    opened.underway.insert(place.clone());
    drop(kept);
    tokio::spawn(list(Arc::clone(state), point.clone(), place.clone()));
    Looked::Underway
}

async fn list(state: Arc<State>, point: Point, place: InsidePlace) {
    let browsing = &state.browsing;
    let turns = match place.is_stored() {
        true => &browsing.stored,
        false => &browsing.listings,
    };
    let turn = Arc::clone(turns).acquire_owned().await;
    let ended = match (turn, commands::of(&state)) {
        (Ok(_turn), Ok(commands)) => {
            let mut listing = found::Listing::default();
            let (keeper, key) = (Arc::clone(&state), point.key.clone());
            let take = move |line: Option<&[u8]>| {
                let told = match line {
                    Some(line) => listing.take(line),
                    None => listing.end(),
                };
                if let Some((place, found)) = told {
                    keeper.browsing.keep(&key, &place, found);
                }
            };
            commands::lines(commands, words(&point, &place), PATIENCE, take).await
        }
        (_, Err(refusal)) => Err(refusal.0.message),
        (Err(_), _) => Err("the server stops".to_owned()),
    };
    browsing.end(&point.key, &place, ended);
}

/// The machine and the point as commands name them.
pub(crate) fn typed(point: &Point, path: &[u8]) -> OsString {
    let mut text = format!("{}@{}", point.machine, point.key.snapshot).into_bytes();
    if !path.is_empty() {
        text.push(b':');
        text.extend_from_slice(path);
    }
    OsString::from_vec(text)
}

fn repository(point: &Point) -> [OsString; 2] {
    let name = format!("@{}", point.key.repository);
    ["--repo".into(), name.into()]
}

fn words(point: &Point, place: &InsidePlace) -> Vec<OsString> {
    let mut words = repository(point).to_vec();
    let files = ["files", "ls", "--depth", DEPTH, "--"].map(OsString::from);
    match place {
        InsidePlace::Stored => words.extend(["ls".into(), point.key.snapshot.clone().into()]),
        InsidePlace::Volumes => {
            words.extend(files);
            words.push(typed(point, b""));
        }
        InsidePlace::Path(path) => {
            words.extend(files);
            words.push(typed(point, path));
        }
    }
    words
}

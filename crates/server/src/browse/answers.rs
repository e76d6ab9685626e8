//! Files inside recovery points, by the API.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State as In};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use lifeboat_api::{self as api, FailureKind};
use lifeboat_catalog::Point;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use utoipa::IntoParams;

use super::{Found, GuestEntry, GuestKind, InsidePlace, Looked, look, repository, typed};
use crate::commands;
use crate::extract::{Asked, At};
use crate::guard::noted;
use crate::pages::escape_bytes;
use crate::refusal::{Answer, Refusal};
use crate::state::State;

/// Entries of an answer at most.
const COUNT_MAX: u32 = 10_000;
/// How long an answer waits for a listing, and for the first bytes of a file.
const PATIENCE: Duration = Duration::from_secs(45);
/// Larger files are for the command line.
pub(crate) const BYTES_MAX: u64 = 16 << 30;

type Shared = In<Arc<State>>;

/// Which part of which folder.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FilesAsked {
    /// As in `/etc`, `C:/Users` or `vda1:/etc`; names that are not text have their bytes escaped.
    /// Without a path come the volumes, and the files of the snapshot itself.
    path: Option<String>,
    /// Leaves out so many entries.
    skip: Option<u32>,
    /// At most so many.
    #[param(minimum = 1, maximum = 10000)]
    count: Option<u32>,
}

/// Which file.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileAsked {
    /// A file inside the disks, as in `/etc/hosts`.
    path: Option<String>,
    /// A file of the snapshot itself, as in `/lifeboat.json`.
    stored: Option<String>,
}

/// What is inside a recovery point: volumes, or what is at a path.
///
/// A rescue VM is started for it, which takes some seconds; where it takes longer, the answer is
/// `unavailable`, and the next one has it.
#[utoipa::path(get, path = "/api/v1/points/{id}/files", params(("id" = String, Path), FilesAsked),
    responses((status = 200, body = api::PointFiles)))]
pub(crate) async fn files(
    In(state): Shared,
    At(id): At<String>,
    Asked(asked): Asked<FilesAsked>,
    RawQuery(query): RawQuery,
) -> Answer<Json<api::PointFiles>> {
    let count = asked.count.unwrap_or(1_000);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Refusal::invalid(format!("count is from 1 to {COUNT_MAX}")));
    }
    let point = point(&state, id).await?;
    let part = (asked.skip.unwrap_or(0) as usize, count as usize);
    let query = query.unwrap_or_default();
    let Some(path) = asked.path.and_then(|_| raw_value(&query, "path")) else {
        let stored = wait(&state, &point, &InsidePlace::Stored).await?;
        let volumes = wait(&state, &point, &InsidePlace::Volumes).await?;
        return Ok(Json(top(&stored, &volumes)));
    };
    require_path(&path)?;
    let found = wait(&state, &point, &InsidePlace::Path(path.clone())).await?;
    Ok(Json(folder(&path, &found, part)))
}

/// The bytes of a file inside a recovery point.
#[utoipa::path(get, path = "/api/v1/points/{id}/file", params(("id" = String, Path), FileAsked),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn file(
    In(state): Shared,
    At(id): At<String>,
    Asked(asked): Asked<FileAsked>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let point = match point(&state, id).await {
        Ok(point) => point,
        Err(refusal) => return refusal.into_response(),
    };
    let path = match asked.stored.is_some() {
        true => raw_value(&query, "stored"),
        false => raw_value(&query, "path"),
    };
    let path = path.unwrap_or_default();
    let details = format!("{} {}", point.machine, String::from_utf8_lossy(&path));
    match sent(&state, &point, (&asked, &path)).await {
        Ok(answer) => noted(answer, details),
        Err(refusal) => noted(refusal, details),
    }
}

async fn sent(
    state: &Arc<State>,
    point: &Point,
    (asked, path): (&FileAsked, &[u8]),
) -> Answer<Response> {
    let is_stored = asked.stored.is_some();
    if is_stored == asked.path.is_some() {
        let text = "either path or stored says which file";
        return Err(Refusal::invalid(text));
    }
    if !is_stored {
        require_path(path)?;
    }
    if size(state, point, is_stored, path).is_some_and(|size| size > BYTES_MAX) {
        let text = format!("the file is longer than {BYTES_MAX} bytes");
        let hint = "'lifeboat dump' and 'lifeboat files get' have no such limit";
        return Err(Refusal::new(FailureKind::Unsupported, text).with_hint(hint));
    }
    let busy = || {
        let text = "as many files are read already as may be at the same time";
        Refusal::new(FailureKind::Unavailable, text)
    };
    let turn = Arc::clone(&state.browsing.reads).try_acquire_owned();
    let turn = turn.map_err(|_| busy())?;
    let body = body(state, words(point, is_stored, path), turn).await?;
    let kind = HeaderValue::from_static("application/octet-stream");
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_DISPOSITION, disposition(path)),
    ];
    Ok((headers, body).into_response())
}

/// What a command prints. The answer begins with the first of it; a command that fails later
/// breaks it off.
async fn body(state: &State, words: Vec<OsString>, turn: OwnedSemaphorePermit) -> Answer<Body> {
    let mut said = commands::begin(commands::of(state)?, words, BYTES_MAX, turn);
    let first = match timeout(PATIENCE, said.next()).await {
        Err(_) => {
            let text = "the file was not reached in time";
            let hint = "ask again, or use the command that stands beside it";
            return Err(Refusal::new(FailureKind::TooSlow, text).with_hint(hint));
        }
        Ok(Some(Err((kind, text)))) => return Err(Refusal::new(FailureKind::of(kind), text)),
        Ok(first) => first,
    };
    let pieces = tokio_stream::iter(first).chain(said);
    let pieces = pieces.map(|piece| piece.map_err(|(_, text)| io::Error::other(text)));
    Ok(Body::from_stream(pieces))
}

fn words(point: &Point, is_stored: bool, path: &[u8]) -> Vec<OsString> {
    let mut words = repository(point).to_vec();
    match is_stored {
        true => {
            words.extend(["dump".into(), "--".into()]);
            let path = String::from_utf8_lossy(path).into_owned();
            words.extend([point.key.snapshot.clone().into(), path.into()]);
        }
        false => {
            words.extend(["files", "dump", "--"].map(OsString::from));
            words.push(typed(point, path));
        }
    }
    words
}

/// The size of a file, if it was listed before.
fn size(state: &State, point: &Point, is_stored: bool, path: &[u8]) -> Option<u64> {
    if is_stored {
        let found = state.browsing.known(&point.key, &InsidePlace::Stored)?;
        let Found::Stored(files) = &*found else {
            return None;
        };
        let file = files.iter().find(|it| it.path.as_bytes() == path);
        return file.map(|it| it.size);
    }
    let at = path.iter().rposition(|byte| *byte == b'/')?;
    let (folder, name) = (&path[..at], &path[at + 1..]);
    let root = matches!(folder, [] | [.., b':']).then(|| path[..=at].to_vec());
    let folder = InsidePlace::Path(root.unwrap_or_else(|| folder.to_vec()));
    match &*state.browsing.known(&point.key, &folder)? {
        Found::Folder(folder) => {
            let entry = folder.entries.iter().find(|it| it.name == name);
            entry.map(|it| it.size)
        }
        _ => None,
    }
}

/// How a browser is to name the file: nothing of the name can be more than a name.
fn disposition(path: &[u8]) -> HeaderValue {
    let mut names = path.rsplit(|byte| matches!(byte, b'/' | b':'));
    let name = names.find(|name| !name.is_empty()).unwrap_or(b"file");
    let name = String::from_utf8_lossy(name);
    let cleaned: String = name
        .chars()
        .map(|it| if is_harmless(it) { it } else { '_' })
        .take(200)
        .collect();
    let cleaned = match cleaned.trim_start_matches('.') {
        "" => "file",
        rest => rest,
    };
    let plain: String = cleaned
        .chars()
        .map(|it| if it.is_ascii() { it } else { '_' })
        .collect();
    let exact = escape_bytes(cleaned.as_bytes());
    let text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

fn is_harmless(letter: char) -> bool {
    letter.is_alphanumeric() || " ._-+@#,=()[]".contains(letter)
}

async fn point(state: &Arc<State>, id: String) -> Answer<Point> {
    let work = state.work(move |state| {
        let found = state.node.catalog().point(&id)?;
        found.ok_or_else(|| Refusal::missing(format!("there is no recovery point \"{id}\"")))
    });
    work.await?
}

async fn wait(state: &Arc<State>, point: &Point, place: &InsidePlace) -> Answer<Arc<Found>> {
    let mut changed = state.browsing.changed.subscribe();
    let mut is_again = true;
    let found = async {
        loop {
            match look(state, point, place, is_again) {
                Looked::Found(found) => return Ok(found),
                Looked::Failed(text) => {
                    return Err(Refusal::new(FailureKind::Unsupported, text));
                }
                Looked::Underway => {}
            }
            is_again = false;
            if changed.changed().await.is_err() {
                return Err(crate::state::Stopped.into());
            }
        }
    };
    match timeout(PATIENCE, found).await {
        Ok(found) => found,
        Err(_) => {
            let text = "the disks are still being opened";
            Err(Refusal::new(FailureKind::Unavailable, text).with_hint("ask again soon"))
        }
    }
}

fn require_path(path: &[u8]) -> Answer<()> {
    let is_path = path.starts_with(b"/") || path.windows(2).any(|pair| pair == b":/");
    match is_path && path.len() <= 8_192 && !path.contains(&0) {
        true => Ok(()),
        false => Err(Refusal::invalid(
            "a path is as in /etc, C:/Users or vda1:/etc, and at most 8192 bytes long",
        )),
    }
}

/// The value of a name in a query, byte by byte.
pub(crate) fn raw_value(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    let (bytes, mut at) = (value.as_bytes(), 0);
    let mut read = Vec::with_capacity(bytes.len());
    while let Some(byte) = bytes.get(at) {
        let digits = value.get(at + 1..at + 3);
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                read.push(escaped);
                at += 2;
            }
            (b'+', _) => read.push(b' '),
            _ => read.push(*byte),
        }
        at += 1;
    }
    Some(read)
}

fn top(stored: &Found, volumes: &Found) -> api::PointFiles {
    let stored = match stored {
        Found::Stored(files) => files.as_slice(),
        _ => &[],
    };
    let volumes = match volumes {
        Found::Volumes(volumes) => volumes.as_slice(),
        _ => &[],
    };
    api::PointFiles {
        is_folder: true,
        stored: stored
            .iter()
            .map(|it| api::StoredFile {
                path: it.path.clone(),
                bytes: it.size,
            })
            .collect(),
        volumes: volumes
            .iter()
            .map(|it| api::PointVolume {
                name: it.name.clone(),
                bytes: it.size,
                content: it.content.clone(),
                label: it.label.clone(),
                is_readable: it.is_readable,
                mounted_at: it.mounted_at.clone(),
                note: it.note.clone(),
            })
            .collect(),
        ..api::PointFiles::default()
    }
}

fn folder(path: &[u8], found: &Found, (skip, count): (usize, usize)) -> api::PointFiles {
    let Found::Folder(folder) = found else {
        return api::PointFiles::default();
    };
    let wanted = folder.entries.iter().skip(skip).take(count);
    api::PointFiles {
        is_folder: folder.is_folder,
        count: folder.count as u64,
        entries: wanted.map(|it| entry(path, it)).collect(),
        faults: folder.faults.clone(),
        ..api::PointFiles::default()
    }
}

fn entry(folder: &[u8], entry: &GuestEntry) -> api::PointFile {
    api::PointFile {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        path: escape_bytes(&below(folder, &entry.name)),
        kind: match entry.kind {
            GuestKind::File => api::PointFileKind::File,
            GuestKind::Folder => api::PointFileKind::Folder,
            GuestKind::Link => api::PointFileKind::Link,
            GuestKind::Other => api::PointFileKind::Other,
        },
        bytes: entry.size,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        modified: jiff::Timestamp::from_second(entry.modified).ok(),
        link_target: entry.link_target.clone(),
    }
}

/// What a name in a folder is called from the outside.
pub(crate) fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if !name.is_empty() {
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    path
}

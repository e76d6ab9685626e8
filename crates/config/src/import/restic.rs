//! Variables that restic reads.

use std::collections::BTreeSet;

use super::draft::{Draft, Table, inline, key, list, quoted};
use super::lines::{self, Line};

/// Places that nothing here reaches yet.
const FAR: [&str; 8] = [
    "sftp:", "s3:", "rest:", "b2:", "azure:", "gs:", "swift:", "rclone:",
];
/// Beginnings of names whose values are passwords or keys.
const SECRETS: [&str; 5] = ["PASSWORD", "SECRET", "TOKEN", "ACCOUNT_KEY", "SAS"];
/// Variables that restic, or what it is built of, knows beside those that are used here.
const KNOWN: [&str; 24] = [
    "RESTIC_CACHE_DIR",
    "RESTIC_CACERT",
    "RESTIC_TLS_CLIENT_CERT",
    "RESTIC_KEY_HINT",
    "RESTIC_READ_CONCURRENCY",
    "RESTIC_PROGRESS_FPS",
    "RESTIC_HOST",
    "RESTIC_FEATURES",
    "RESTIC_REST_USERNAME",
    "RESTIC_REST_PASSWORD",
    "RESTIC_FROM_REPOSITORY",
    "RESTIC_FROM_REPOSITORY_FILE",
    "RESTIC_FROM_PASSWORD_FILE",
    "RESTIC_FROM_PASSWORD_COMMAND",
    "RESTIC_FROM_PASSWORD",
    "RESTIC_FROM_KEY_HINT",
    "TMPDIR",
    "GODEBUG",
    "RCLONE_BWLIMIT",
    "GOOGLE_PROJECT_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_ACCOUNT_NAME",
    "B2_ACCOUNT_ID",
    "XDG_CACHE_HOME",
];
/// Beginnings of the variables of places.
const FAMILIES: [&str; 9] = [
    "AWS_", "B2_", "AZURE_", "GOOGLE_", "GS_", "ST_", "OS_", "SWIFT_", "RCLONE_",
];

pub(super) fn import(draft: &mut Draft<'_>) {
    let lines = lines::of_shell(draft);
    let mut table = Table::new(&["repositories", "main"]);
    let mut carried = Table::new(&[]);
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for line in &lines {
        if !seen.insert(&line.key) {
            let message = format!("{}: it stands there twice", line.key);
            draft.refuse(line.at, &message, None);
        }
        if !take(draft, &mut table, line) {
            carry(draft, &mut carried, line);
        }
    }
    let has = |name: &str| seen.contains(&name);
    if !has("RESTIC_REPOSITORY") {
        let next = Some("write RESTIC_REPOSITORY=/path");
        draft.refuse(0, "it names no repository", next);
    }
    let ways = [
        "RESTIC_PASSWORD",
        "RESTIC_PASSWORD_FILE",
        "RESTIC_PASSWORD_COMMAND",
    ];
    match ways.into_iter().filter(|name| has(name)).count() {
        0 => {
            let file = draft.file("main.password");
            table.text("password_file", &file);
            let next = format!("write it into {file}, chmod 600");
            draft.note(0, "it says nothing of the password", Some(&next));
        }
        1 => {}
        _ => draft.refuse(0, "it has several passwords", Some("leave one of them")),
    }
    draft.add(table);
    if !carried.is_empty() {
        let note = "the configuration has no such settings";
        let settings = inline(carried.content());
        draft.carry("restic_environment", "variables", note, Some(settings));
    }
}

/// Takes a variable that has a meaning here.
fn take(draft: &mut Draft<'_>, table: &mut Table, line: &Line) -> bool {
    let Line { at, key, value } = line;
    match key.as_str() {
        "RESTIC_REPOSITORY" => place(draft, table, line),
        "RESTIC_PASSWORD_FILE" => table.text("password_file", value),
        "RESTIC_PASSWORD" => {
            let file = draft.secret("main.password", value);
            table.text("password_file", &file);
        }
        "RESTIC_PASSWORD_COMMAND" => match lines::words(value) {
            Ok(words) if !words.is_empty() => table.set("password_command", list(&words)),
            Ok(_) => draft.refuse(*at, &format!("{key}: it is empty"), None),
            Err(why) => draft.refuse(*at, &format!("{key}: {why}"), None),
        },
        "RESTIC_COMPRESSION" => table.text("compression", value),
        "RESTIC_PACK_SIZE" => match value.parse::<u32>() {
            // restic counts MiB.
            Ok(size) => table.text("pack_size", &format!("{size}M")),
            Err(_) => draft.refuse(*at, &format!("{key}: it is no number of MiB"), None),
        },
        "GOMAXPROCS" => match value.parse::<u32>() {
            Ok(threads) => table.set("threads", threads.to_string()),
            Err(_) => draft.refuse(*at, &format!("{key}: it is no number"), None),
        },
        _ => return false,
    }
    true
}

fn place(draft: &mut Draft<'_>, table: &mut Table, line: &Line) {
    let (place, secret) = without_password(&line.value);
    table.text("place", &place);
    if let Some(secret) = secret {
        let file = draft.secret("main.place-password", &secret);
        let settings = inline(&[("password_file".to_owned(), quoted(&file))]);
        let note = "the password of the place stood in its address";
        draft.carry("restic_place", "RESTIC_REPOSITORY", note, Some(settings));
    }
    mark_if_far(draft, table, line.at, &place);
}

/// Marks a repository whose place nothing here reaches yet.
pub(super) fn mark_if_far(draft: &mut Draft<'_>, table: &mut Table, at: usize, place: &str) {
    let Some(far) = FAR.iter().find(|far| place.starts_with(**far)) else {
        return;
    };
    let note = format!("places that begin with {far} have no adapter yet");
    table.text("carried_over", &draft.mark(&note));
    draft.note(at, &format!("carried over, not carried out: {note}"), None);
}

/// `rest:https://user:password@host/` in two parts.
fn without_password(place: &str) -> (String, Option<String>) {
    let found = place.find("://").and_then(|scheme| {
        let start = scheme + 3;
        let end = place[start..]
            .find('/')
            .map_or(place.len(), |it| start + it);
        let at = start + place[start..end].rfind('@')?;
        let colon = start + place[start..at].find(':')?;
        Some((colon, at))
    });
    match found {
        Some((colon, at)) => {
            let secret = place[colon + 1..at].to_owned();
            (format!("{}{}", &place[..colon], &place[at..]), Some(secret))
        }
        None => (place.to_owned(), None),
    }
}

/// Whether a name says that its value is secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_file = name.ends_with("_FILE") || name.ends_with("_COMMAND");
    !is_file && SECRETS.iter().any(|word| name.contains(word))
}

fn carry(draft: &mut Draft<'_>, carried: &mut Table, line: &Line) {
    let name = line.key.as_str();
    let is_known = KNOWN.contains(&name) || FAMILIES.iter().any(|it| name.starts_with(it));
    let message = match is_known {
        true => format!("{name}: carried over, not carried out"),
        false => format!("{name}: nobody knows this variable; carried over, not carried out"),
    };
    draft.note(line.at, &message, None);
    put(draft, carried, name, &line.value);
}

/// Keeps a setting; a secret one by its file.
pub(super) fn put(draft: &mut Draft<'_>, carried: &mut Table, name: &str, value: &str) {
    match is_secret(name) && !value.is_empty() {
        true => {
            let file = draft.secret(&key(name).to_lowercase().replace('"', ""), value);
            carried.text(&format!("{name}_file"), &file);
        }
        false => carried.text(name, value),
    }
}

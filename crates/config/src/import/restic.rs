//! Variables that restic reads.

use std::collections::BTreeSet;

use super::draft::{Draft, Table, inline, list, quoted};
use super::lines::{Line, shell};
use super::secrets::{keep, without_password};

/// Places that nothing here reaches yet.
const FAR: [&str; 8] = [
    "sftp:", "s3:", "rest:", "b2:", "azure:", "gs:", "swift:", "rclone:",
];
/// Variables that restic, or what it is built of, knows beside those that are used here.
const KNOWN: [&str; 27] = [
    "RESTIC_CACHE_DIR",
    "RESTIC_NEW_PASSWORD",
    "RESTIC_PASSWORD2",
    "RESTIC_REPOSITORY2",
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

/// Ways to say where the repository is, and what its password is.
const PLACES: [&str; 2] = ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"];
const PASSWORDS: [&str; 3] = [
    "RESTIC_PASSWORD",
    "RESTIC_PASSWORD_FILE",
    "RESTIC_PASSWORD_COMMAND",
];

const COMPRESSIONS: [&str; 5] = ["auto", "off", "max", "fastest", "better"];

pub(super) fn import(draft: &mut Draft<'_>) {
    let lines = shell::lines(draft);
    let mut table = Table::new(&["repositories", "main"]);
    let mut carried = Table::new(&[]);
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for line in &lines {
        if !seen.insert(&line.key) {
            let message = format!("{}: it stands there twice", line.key);
            draft.refuse(line.at, &message, Some("leave the one that counts"));
            continue;
        }
        if !take(draft, &mut table, line) {
            carry(draft, &mut carried, line);
        }
    }
    let has = |name: &str| seen.contains(&name);
    match PLACES.into_iter().filter(|name| has(name)).count() {
        0 => {
            let next = Some("write RESTIC_REPOSITORY=/path");
            draft.refuse(0, "it names no repository", next);
        }
        1 => {}
        _ => draft.refuse(0, "it has several repositories", Some("leave one of them")),
    }
    match PASSWORDS.into_iter().filter(|name| has(name)).count() {
        0 => {
            let file = draft.empty_file("main.password");
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
        let settings = carried.inline();
        draft.carry("restic_environment", "variables", note, Some(settings));
    }
}

/// Takes a variable that has a meaning here.
fn take(draft: &mut Draft<'_>, table: &mut Table, line: &Line) -> bool {
    let Line { at, key, value } = line;
    match key.as_str() {
        "RESTIC_REPOSITORY" => place(draft, table, line),
        "RESTIC_REPOSITORY_FILE" => place_elsewhere(draft, table, line),
        "RESTIC_PASSWORD_FILE" => {
            if !value.starts_with('/') {
                let message = format!("{key}: it is looked for where the program is started");
                draft.note(*at, &message, Some("write its whole path"));
            }
            table.text("password_file", value);
        }
        "RESTIC_PASSWORD" => {
            let file = draft.secret("main.password", value);
            table.text("password_file", &file);
        }
        "RESTIC_PASSWORD_COMMAND" => match shell::words(value) {
            Ok(words) if !words.is_empty() => table.set("password_command", list(&words)),
            Ok(_) => draft.refuse(*at, &format!("{key}: it is empty"), None),
            Err(why) => draft.refuse(*at, &format!("{key}: {why}"), None),
        },
        "RESTIC_COMPRESSION" => match COMPRESSIONS.contains(&value.as_str()) {
            true => table.text("compression", value),
            false => {
                let next = format!("write one of: {}", COMPRESSIONS.join(", "));
                let message = format!("{key}: restic has no such compression");
                draft.refuse(*at, &message, Some(&next));
            }
        },
        // restic counts MiB.
        "RESTIC_PACK_SIZE" => match number(draft, line, (1, 4096)) {
            // So restic says "the usual one".
            Some(0) | None => {}
            Some(size) => table.text("pack_size", &format!("{size}M")),
        },
        "GOMAXPROCS" => {
            if let Some(threads) = number(draft, line, (1, 1024)).filter(|it| *it > 0) {
                table.set("threads", threads.to_string());
            }
        }
        _ => return false,
    }
    true
}

/// A whole number in bounds, or 0 for what is usual.
fn number(draft: &mut Draft<'_>, line: &Line, (low, high): (u32, u32)) -> Option<u32> {
    let number = line.value.parse::<u32>().ok();
    let number = number.filter(|it| *it == 0 || (low..=high).contains(it));
    if number.is_none() {
        let next = format!("write {low} to {high}");
        let message = format!("{}: it is no number that can be used", line.key);
        draft.refuse(line.at, &message, Some(&next));
    }
    number
}

/// The place stands in a file, which is not opened: nobody said that it may be read.
fn place_elsewhere(draft: &mut Draft<'_>, table: &mut Table, line: &Line) {
    let file = &line.value;
    table.text("place", &format!("(what {file} says)"));
    let note = format!("its place stands in the file {file}; write it here");
    table.text("carried_over", &draft.mark(&note));
    let message = format!("{}: carried over, not carried out: {note}", line.key);
    let next = "write what stands in it into place, and remove carried_over";
    draft.note(line.at, &message, Some(next));
}

fn place(draft: &mut Draft<'_>, table: &mut Table, line: &Line) {
    let (place, secret) = without_password(&line.value);
    table.text("place", &place);
    if let Some(secret) = secret {
        let file = draft.secret("main.place-password", &secret);
        let settings = inline([("password_file".to_owned(), quoted(&file))]);
        let note = "the password of the place stood in its address";
        draft.carry("restic_place", "RESTIC_REPOSITORY", note, Some(settings));
    }
    mark_if_far(draft, table, line.at, &place);
    if !place.contains([':', '/']) {
        let message = "RESTIC_REPOSITORY: it is looked for where the program is started";
        draft.note(line.at, message, Some("write its whole path"));
    }
}

/// Marks a repository whose place nothing here reaches yet.
fn mark_if_far(draft: &mut Draft<'_>, table: &mut Table, at: usize, place: &str) {
    let Some(far) = FAR.iter().find(|far| place.starts_with(**far)) else {
        return;
    };
    let note = format!("places that begin with {far} have no adapter yet");
    table.text("carried_over", &draft.mark(&note));
    draft.note(at, &format!("carried over, not carried out: {note}"), None);
}

fn carry(draft: &mut Draft<'_>, carried: &mut Table, line: &Line) {
    let name = line.key.as_str();
    let is_known = KNOWN.contains(&name) || FAMILIES.iter().any(|it| name.starts_with(it));
    let message = match is_known {
        true => format!("{name}: carried over, not carried out"),
        false => format!("{name}: nobody knows this variable; carried over, not carried out"),
    };
    draft.note(line.at, &message, None);
    keep(draft, carried, name, &line.value, line.at);
}

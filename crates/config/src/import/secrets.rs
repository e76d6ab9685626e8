//! Which settings are secret.

use super::draft::{Draft, Table, inline, quoted};

/// Parts of names whose values are passwords or keys.
const PARTS: [&str; 5] = ["PASS", "SECRET", "TOKEN", "_SAS", "PRIVATE_KEY"];
/// Ends of such names.
const ENDS: [&str; 3] = ["ACCOUNT_KEY", "API_KEY", "SECRET_KEY"];
/// Ends of names whose values only say where a secret is.
const PLACES: [&str; 4] = ["_FILE", "_COMMAND", "_PATH", "_HINT"];

/// Whether a name says that its value is secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_place = PLACES.iter().any(|end| name.ends_with(end));
    let is_named = PARTS.iter().any(|part| name.contains(part));
    let is_key = name == "ST_KEY" || ENDS.iter().any(|end| name.ends_with(end));
    !is_place && (is_named || is_key)
}

/// `rest:https://user:password@host/` and `rclone::sftp,pass=x:path` without what is secret in
/// them, and that.
pub(super) fn without_password(place: &str) -> (String, Option<String>) {
    let cut = of_address(place).or_else(|| of_rclone(place));
    match cut {
        Some((from, to)) if from + 1 < to => {
            let secret = place[from + 1..to].to_owned();
            (format!("{}{}", &place[..from], &place[to..]), Some(secret))
        }
        _ => (place.to_owned(), None),
    }
}

/// From the colon before the password to the `@` behind it.
fn of_address(place: &str) -> Option<(usize, usize)> {
    let start = place.find("://")? + 3;
    let end = place[start..].find('/');
    let end = end.map_or(place.len(), |it| start + it);
    let at = start + place[start..end].rfind('@')?;
    let colon = start + place[start..at].find(':')?;
    Some((colon, at))
}

/// From the comma before the first secret setting of a remote that is written on the spot to the
/// end: values may be in quotes.
fn of_rclone(place: &str) -> Option<(usize, usize)> {
    let settings = place.strip_prefix("rclone:")?;
    let commas = settings.match_indices(',').map(|(at, _)| at);
    let is_cut = |at: &usize| {
        let setting = &settings[at + 1..];
        let key = setting.split_once('=').map(|(key, _)| key);
        key.is_some_and(is_secret)
    };
    let start = place.len() - settings.len();
    let comma = commas.into_iter().find(is_cut)?;
    Some((start + comma, place.len()))
}

/// A setting that is kept; a secret, or the secret part of an address, by its file.
pub(super) fn keep(draft: &mut Draft<'_>, table: &mut Table, name: &str, value: &str, at: usize) {
    let (name, value) = kept(draft, name, value, at);
    table.set(&name, value);
}

/// The same as a name and TOML.
pub(super) fn kept(draft: &mut Draft<'_>, name: &str, value: &str, at: usize) -> (String, String) {
    if is_secret(name) && !value.is_empty() {
        let file = put_aside(draft, name, value, at);
        return (format!("{name}_file"), quoted(&file));
    }
    let (rest, secret) = without_password(value);
    let value = match secret {
        None => quoted(&rest),
        Some(secret) => {
            let file = put_aside(draft, name, &secret, at);
            let parts = [("address", rest), ("password_file", file)];
            inline(parts.map(|(name, value)| (name.to_owned(), quoted(&value))))
        }
    };
    (name.to_owned(), value)
}

fn put_aside(draft: &mut Draft<'_>, name: &str, secret: &str, at: usize) -> String {
    let file = draft.secret(&name.to_lowercase(), secret);
    let message = format!("{name}: the secret goes into {file}");
    draft.note(at, &message, None);
    file
}

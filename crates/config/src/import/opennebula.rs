//! A datastore of OpenNebula that keeps backups with restic.

use std::collections::BTreeSet;

use roxmltree::{Document, Node};

use super::draft::{Draft, Table, inline, quoted};
use super::lines::{self, Line};
use super::restic::{mark_if_far, put};

/// Attributes of restic's driver beside those that are used here.
const KNOWN: [&str; 18] = [
    "RESTIC_BACKEND",
    "RESTIC_CONNECTIONS",
    "RESTIC_CPU_QUOTA",
    "RESTIC_MEMORY_MAX_MB",
    "RESTIC_MAX_RIOPS",
    "RESTIC_MAX_WIOPS",
    "RESTIC_TMP_DIR",
    "RESTIC_SPARSIFY",
    "RESTIC_PRUNE_MAX_REPACK",
    "RESTIC_PRUNE_MAX_UNUSED",
    "RESTIC_S3_ACCESS_KEY_ID",
    "RESTIC_S3_SECRET_ACCESS_KEY",
    "RESTIC_S3_BUCKET",
    "RESTIC_S3_REGION",
    "RESTIC_S3_ENDPOINT",
    "RESTIC_S3_FORCE_PATH_STYLE",
    "RESTIC_S3_CACERT",
    "RESTIC_S3_INSECURE_TLS",
];
/// Where OpenNebula keeps a datastore, unless it says another place.
const BASE: &str = "/var/lib/one/datastores";

pub(super) fn import(draft: &mut Draft<'_>) {
    let is_xml = draft.source.text.trim_start().starts_with('<');
    let lines = match is_xml {
        true => of_xml(draft),
        false => lines::of_template(draft),
    };
    let of = |key: &str| lines.iter().find(|it| it.key == key);
    if let Some(driver) = of("DS_MAD").filter(|it| it.value != "restic") {
        let message = format!("DS_MAD: its driver is {:?}, and not restic", driver.value);
        draft.refuse(driver.at, &message, Some("name a datastore of restic"));
        return;
    }
    if !lines.iter().any(|it| it.key.starts_with("RESTIC_")) {
        draft.refuse(0, "it has no attribute of restic (RESTIC_...)", None);
        return;
    }
    let name = of("NAME").map_or("main", |it| it.value.as_str());
    let mut repository = Table::new(&["repositories", name]);
    let mut job = Table::new(&["jobs", name]);
    let mut carried = Table::new(&[]);
    place(draft, &mut repository, &lines);
    let mut seen = BTreeSet::new();
    for line in &lines {
        if !seen.insert(&line.key) {
            let message = format!("{}: it stands there twice", line.key);
            draft.refuse(line.at, &message, None);
        }
        take(
            draft,
            (&mut repository, &mut job),
            &mut carried,
            (name, line),
        );
    }
    if of("RESTIC_PASSWORD").is_none() {
        let file = draft.file(&format!("{name}.password"));
        repository.text("password_file", &file);
        let next = format!("write it into {file}, chmod 600");
        draft.note(0, "it has no RESTIC_PASSWORD", Some(&next));
    }
    draft.add(repository);
    finish(draft, name, job, &carried);
}

/// The platform, the job and the rest.
fn finish(draft: &mut Draft<'_>, name: &str, job: Table, carried: &Table) {
    let note = "platforms of OpenNebula have no adapter yet";
    let mut platform = Table::new(&["platforms", "opennebula"]);
    platform.text("uri", "opennebula:");
    platform.text("carried_over", &draft.mark(note));
    draft.add(platform);
    draft.note(0, &format!("carried over, not carried out: {note}"), None);
    draft.add(job);
    if !carried.is_empty() {
        let note = "the configuration has no such settings";
        let settings = inline(carried.content());
        let entry = format!("{name}_datastore");
        draft.carry(&entry, "attributes of the datastore", note, Some(settings));
    }
}

fn place(draft: &mut Draft<'_>, repository: &mut Table, lines: &[Line]) {
    let of = |key: &str| {
        let found = lines.iter().find(|it| it.key == key);
        found
            .map(|it| it.value.as_str())
            .filter(|it| !it.is_empty())
    };
    let number = of("ID").unwrap_or("DATASTORE");
    let base = of("BASE_PATH").map_or_else(|| format!("{BASE}/{number}"), str::to_owned);
    let bucket = of("RESTIC_S3_BUCKET").filter(|_| of("RESTIC_BACKEND") == Some("S3"));
    let place = match (bucket, of("RESTIC_SFTP_SERVER")) {
        (Some(bucket), _) => {
            let server = of("RESTIC_S3_ENDPOINT").unwrap_or("s3.amazonaws.com");
            format!("s3:{server}/{bucket}")
        }
        (None, Some(server)) => {
            let user = of("RESTIC_SFTP_USER").unwrap_or("oneadmin");
            format!("sftp:{user}@{server}:{base}")
        }
        (None, None) => base,
    };
    repository.text("place", &place);
    mark_if_far(draft, repository, 0, &place);
    let next = "import the others with further runs, each with its own folder";
    let message = "OpenNebula makes a repository for each machine or backup job below this place";
    draft.note(0, message, Some(next));
}

fn take(
    draft: &mut Draft<'_>,
    (repository, job): (&mut Table, &mut Table),
    carried: &mut Table,
    (name, line): (&str, &Line),
) {
    let Line { at, key, value } = line;
    if job.is_empty() {
        job.text("platform", "opennebula");
        job.text("repository", name);
    }
    let number = value.parse::<u32>().ok();
    match (key.as_str(), number) {
        ("RESTIC_PASSWORD", _) => {
            let file = draft.secret(&format!("{name}.password"), value);
            repository.text("password_file", &file);
        }
        // They are in the place.
        ("RESTIC_SFTP_USER" | "RESTIC_SFTP_SERVER", _) => {}
        ("RESTIC_COMPRESSION", _) => repository.text("compression", value),
        ("RESTIC_MAXPROC", Some(threads)) => repository.set("threads", threads.to_string()),
        ("RESTIC_NICE", Some(nice)) => job.set("nice", nice.to_string()),
        ("RESTIC_IONICE", Some(priority)) => job.set("ionice", quoted(&priority.to_string())),
        // KiB in a second.
        ("RESTIC_BWLIMIT", Some(rate)) => job.set("bandwidth", quoted(&format!("{rate}K"))),
        ("RESTIC_MAXPROC" | "RESTIC_NICE" | "RESTIC_IONICE" | "RESTIC_BWLIMIT", None) => {
            let message = format!("{key}: {value:?} is no number that can be used");
            draft.refuse(
                *at,
                &message,
                Some("write a whole number that is not negative"),
            );
        }
        _ => {
            let is_ours = key.starts_with("RESTIC_");
            if is_ours && KNOWN.contains(&key.as_str()) {
                draft.note(*at, &format!("{key}: carried over, not carried out"), None);
            } else if is_ours {
                let message =
                    format!("{key}: nobody knows this attribute; carried over, not carried out");
                draft.note(*at, &message, None);
            }
            put(draft, carried, key, value);
        }
    }
}

/// The attributes of `onedatastore show -x`.
fn of_xml(draft: &mut Draft<'_>) -> Vec<Line> {
    let source = draft.source;
    let document = match Document::parse(&source.text) {
        Ok(document) => document,
        Err(error) => {
            let pos = error.pos();
            let lines = source.text.split_inclusive('\n').take(pos.row as usize - 1);
            let at = lines.map(str::len).sum::<usize>() + pos.col as usize - 1;
            draft.refuse(at, &format!("it is no XML: {error}"), None);
            return Vec::new();
        }
    };
    let mut lines = Vec::new();
    for node in document.root_element().children().filter(Node::is_element) {
        match node.tag_name().name() {
            "TEMPLATE" => lines.extend(node.children().filter(Node::is_element).map(line)),
            _ => lines.push(line(node)),
        }
    }
    // What the datastore is outside its template stands in the template too.
    let mut seen = BTreeSet::new();
    lines.retain(|it| seen.insert((it.key.clone(), it.value.clone())));
    lines
}

fn line(node: Node<'_, '_>) -> Line {
    let has_elements = node.children().any(|it| it.is_element());
    let value = match has_elements {
        true => {
            let range = node.range();
            node.document().input_text()[range].to_owned()
        }
        false => node.text().unwrap_or_default().trim().to_owned(),
    };
    Line {
        at: node.range().start,
        key: node.tag_name().name().to_owned(),
        value,
    }
}

//! A datastore of OpenNebula that keeps backups with restic.

mod shown;

use std::collections::BTreeSet;

use super::draft::{Draft, Table};
use super::lines::{Line, template};
use super::secrets::keep;

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
/// What must be said once: nobody knows which of two would count.
const SINGLE: [&str; 4] = ["ID", "NAME", "DS_MAD", "BASE_PATH"];
/// Numbers that stand for what is usual.
const USUAL: [&str; 2] = ["", "-1"];
/// Where OpenNebula keeps a datastore, unless it says another place.
const BASE: &str = "/var/lib/one/datastores";

pub(super) fn import(draft: &mut Draft<'_>) {
    let text = draft.source.text.trim_start();
    let lines = match text.chars().next() {
        Some('<') => shown::of_xml(draft),
        Some('{') => shown::of_json(draft),
        _ => template::lines(draft),
    };
    let store = Datastore { lines };
    if let Some(driver) = store.line("DS_MAD").filter(|it| it.value != "restic") {
        let message = format!("DS_MAD: its driver is {:?}, and not restic", driver.value);
        draft.refuse(driver.at, &message, Some("name a datastore of restic"));
        return;
    }
    if !store.lines.iter().any(|it| it.key.starts_with("RESTIC_")) {
        let next = Some("name the template of a datastore, or what onedatastore show -x prints");
        draft.refuse(0, "it has no attribute of restic (RESTIC_...)", next);
        return;
    }
    store.refuse_twice(draft);
    let name = store.value("NAME").unwrap_or("main");
    let mut repository = Table::new(&["repositories", name]);
    let mut job = Table::new(&["jobs", name]);
    let mut carried = Table::new(&[]);
    store.place(draft, &mut repository);
    store.password(draft, name, &mut repository);
    job.text("platform", "opennebula");
    job.text("repository", name);
    for line in &store.lines {
        if !take(draft, (&mut repository, &mut job), line) {
            carry(draft, &mut carried, line);
        }
    }
    draft.add(repository);
    finish(draft, name, job, carried);
}

/// The platform, the job and the rest.
fn finish(draft: &mut Draft<'_>, name: &str, job: Table, carried: Table) {
    let note = "platforms of OpenNebula have no adapter yet";
    let mut platform = Table::new(&["platforms", "opennebula"]);
    platform.text("uri", "opennebula:");
    platform.text("carried_over", &draft.mark(note));
    draft.add(platform);
    draft.note(0, &format!("carried over, not carried out: {note}"), None);
    draft.add(job);
    if !carried.is_empty() {
        let note = "the configuration has no such settings";
        let entry = format!("{name}_datastore");
        let settings = carried.inline();
        draft.carry(&entry, "attributes of the datastore", note, Some(settings));
    }
}

/// Attributes of a datastore; those of a list have paths.
struct Datastore {
    lines: Vec<Line>,
}

impl Datastore {
    fn line(&self, key: &str) -> Option<&Line> {
        self.lines.iter().find(|it| it.key == key)
    }

    /// The value of an attribute that says something.
    fn value(&self, key: &str) -> Option<&str> {
        let line = self.line(key)?;
        Some(line.value.as_str()).filter(|it| !it.is_empty())
    }

    fn refuse_twice(&self, draft: &mut Draft<'_>) {
        let mut seen = BTreeSet::new();
        for Line { at, key, .. } in &self.lines {
            let is_single = SINGLE.contains(&key.as_str()) || key.starts_with("RESTIC_");
            if is_single && !seen.insert(key) {
                let next = Some("leave the one that counts");
                draft.refuse(*at, &format!("{key}: it stands there twice"), next);
            }
        }
    }

    /// Where it is. There are repositories below it, and it is none.
    fn place(&self, draft: &mut Draft<'_>, repository: &mut Table) {
        let number = self.value("ID").unwrap_or("DATASTORE");
        let base = self.value("BASE_PATH").map(str::to_owned);
        let mut base = base.unwrap_or_else(|| format!("{BASE}/{number}"));
        while base.contains("//") {
            base = base.replace("//", "/");
        }
        let base = base.trim_end_matches('/');
        let is_s3 = self
            .value("RESTIC_BACKEND")
            .is_some_and(|it| it.eq_ignore_ascii_case("s3"));
        let bucket = self.value("RESTIC_S3_BUCKET").filter(|_| is_s3);
        let (place, next) = match (bucket, self.value("RESTIC_SFTP_SERVER")) {
            (Some(bucket), _) => {
                let server = self
                    .value("RESTIC_S3_ENDPOINT")
                    .unwrap_or("s3.amazonaws.com");
                let next = "copy or mount it, and name the folder of one as the place".to_owned();
                (format!("s3:{server}/{bucket}"), next)
            }
            (None, Some(server)) => {
                let user = self.value("RESTIC_SFTP_USER").unwrap_or("oneadmin");
                let next = format!("on {server}, or where it is mounted: place = \"{base}/VM_ID\"");
                (format!("sftp:{user}@{server}:{base}"), next)
            }
            (None, None) => (base.to_owned(), format!("write place = \"{base}/VM_ID\"")),
        };
        repository.text("place", &place);
        let note = "OpenNebula makes a repository for each machine (PLACE/VM_ID) and backup job \
                    (PLACE/job_ID) below this place";
        let is_known = self.value("ID").or(self.value("BASE_PATH")).is_some();
        let note = match is_known || bucket.is_some() {
            true => note.to_owned(),
            false => format!("{note}; DATASTORE stands for the number of the datastore"),
        };
        repository.text("carried_over", &draft.mark(&note));
        let message = format!("{place}: carried over, not carried out: {note}");
        draft.note(0, &message, Some(&next));
    }

    /// The driver drops quotation marks of the password.
    fn password(&self, draft: &mut Draft<'_>, name: &str, repository: &mut Table) {
        let Some(line) = self.line("RESTIC_PASSWORD") else {
            let file = draft.empty_file(&format!("{name}.password"));
            repository.text("password_file", &file);
            let next = format!("write it into {file}, chmod 600");
            draft.note(0, "it has no RESTIC_PASSWORD", Some(&next));
            return;
        };
        let password = line.value.replace(['"', '\''], "");
        let file = draft.secret(&format!("{name}.password"), &password);
        repository.text("password_file", &file);
        if password.len() < line.value.len() {
            let message = "RESTIC_PASSWORD: OpenNebula uses it without its quotation marks, and \
                           so does this";
            draft.note(line.at, message, None);
        }
        if self.value("ID").is_some() {
            let message = "RESTIC_PASSWORD: OpenNebula may show it encrypted \
                           (DATASTORE_ENCRYPTED_ATTR in oned.conf)";
            let next = format!("if it opens nothing, write the real one into {file}");
            draft.note(line.at, message, Some(&next));
        }
    }
}

/// Takes an attribute that has a meaning here.
fn take(draft: &mut Draft<'_>, (repository, job): (&mut Table, &mut Table), line: &Line) -> bool {
    match line.key.as_str() {
        // They are in the place, the password or the name.
        "RESTIC_SFTP_USER" | "RESTIC_SFTP_SERVER" | "RESTIC_PASSWORD" | "NAME" | "DS_MAD"
        | "BASE_PATH" => {}
        "RESTIC_COMPRESSION" => {
            let word = line.value.to_ascii_lowercase();
            match ["auto", "off", "max"].contains(&word.as_str()) {
                true => repository.text("compression", &word),
                false => {
                    let message = "RESTIC_COMPRESSION: OpenNebula takes it for auto";
                    draft.note(line.at, message, None);
                }
            }
        }
        "RESTIC_MAXPROC" => {
            if let Some(threads) = number(draft, line, (1, 1024)) {
                repository.set("threads", threads.to_string());
            }
        }
        "RESTIC_NICE" => {
            if let Some(nice) = number(draft, line, (0, 19)) {
                job.set("nice", nice.to_string());
            }
        }
        "RESTIC_IONICE" => {
            if let Some(priority) = number(draft, line, (0, 7)) {
                job.text("ionice", &priority.to_string());
            }
        }
        "RESTIC_BWLIMIT" => {
            // KiB in a second; restic takes 0 for no limit.
            if let Some(rate) = number(draft, line, (0, u32::MAX)).filter(|it| *it > 0) {
                job.text("bandwidth", &format!("{rate}K"));
            }
        }
        _ => return false,
    }
    true
}

/// A whole number in bounds; none for what is usual.
fn number(draft: &mut Draft<'_>, line: &Line, (low, high): (u32, u32)) -> Option<u32> {
    let Line { at, key, value } = line;
    if USUAL.contains(&value.as_str()) {
        return None;
    }
    let number = value.parse::<u32>().ok();
    let number = number.filter(|it| (low..=high).contains(it));
    if number.is_none() {
        let message = format!("{key}: {value:?} is no number that can be used");
        let next = format!("write {low} to {high}");
        draft.refuse(*at, &message, Some(&next));
    }
    number
}

fn carry(draft: &mut Draft<'_>, carried: &mut Table, line: &Line) {
    let Line { at, key, value } = line;
    if KNOWN.contains(&key.as_str()) {
        draft.note(*at, &format!("{key}: carried over, not carried out"), None);
    } else if key.starts_with("RESTIC_") {
        let message = format!("{key}: nobody knows this attribute; carried over, not carried out");
        draft.note(*at, &message, None);
    }
    keep(draft, carried, key, value, *at);
}

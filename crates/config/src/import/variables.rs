//! The variables of a program that backs up machines of oVirt.

mod fields;
mod machine;
mod rules;
mod schedule;
mod week;

use super::draft::{Draft, Table, inline};
use super::located::Located;
use super::secrets::without_password;
use fields::{Fields, kept};
use machine::Machines;
use rules::{CHAIN_MAX, DAYS_MAX, Settings};

/// What is said of a setting that has no meaning here.
const UNKNOWN: &str = "nobody knows this setting";
/// Settings of a restore.
const RESTORE: [&str; 10] = [
    "target_cluster",
    "target_cluster_name",
    "target_storage_domain",
    "target_storage_domain_name",
    "disk_interface",
    "timeout_minutes",
    "auto_start_restored_vm",
    "vm_name_suffix",
    "replace_existing_vm",
    "backup_old_vm",
];
/// Names of the address in `source_ovirt_*`.
const ADDRESSES: [&str; 5] = ["url", "fqdn", "host", "engine_url", "engine"];
/// Keys that may hold their table as a text.
const TABLES: [&str; 3] = ["backup_settings", "restore_settings", "vms_config"];

pub(super) fn import(draft: &mut Draft<'_>) {
    let located = Located::parse(&draft.source.text);
    let located = located.and_then(|mut located| {
        located.open_texts(&TABLES)?;
        Ok(located)
    });
    let located = match located {
        Ok(located) => located,
        Err((at, message)) => return draft.refuse(at, &message, None),
    };
    let Some(root) = located.value.as_object() else {
        return draft.refuse(0, "it is no table of settings: { ... }", None);
    };
    let mut root = Fields::new(root, "", &located);
    engine(draft, &mut root, "source_ovirt");
    engine(draft, &mut root, "target_ovirt");
    repository(draft, &mut root);
    let usual = usual(draft, &mut root);
    restore(draft, &mut root);
    checkpoints(draft, &mut root);
    match root.take("vms_config") {
        Some(value) => Machines::new(&located, usual).import(draft, value, "/vms_config"),
        None => draft.refuse(0, "it has no vms_config: no machine is named", None),
    }
    root.carry_rest(draft, "variables", "its own settings", UNKNOWN);
}

/// Settings of an engine; the source is a platform.
fn engine(draft: &mut Draft<'_>, root: &mut Fields<'_>, start: &str) {
    let names = root.map.keys().filter(|name| name.starts_with(start));
    let names: Vec<String> = names.cloned().collect();
    let mut settings = Vec::new();
    let mut address = String::new();
    for name in &names {
        let Some(value) = root.take(name) else {
            continue;
        };
        let word = name[start.len()..].trim_start_matches('_');
        if ADDRESSES.contains(&word)
            && let Some(text) = value.as_str()
        {
            address = without_password(text).0;
        }
        settings.push(kept(draft, name, value, root.place(name)));
    }
    let note = "platforms of oVirt have no adapter yet";
    if start == "source_ovirt" {
        let address = address
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let mut platform = Table::new(&["platforms", "source"]);
        platform.text("uri", &format!("ovirt://{address}"));
        platform.text("carried_over", &draft.mark(note));
        draft.add(platform);
    }
    if let Some(first) = names.first() {
        let message = format!("{start}_*: carried over, not carried out: {note}");
        draft.note(root.place(first), &message, None);
        draft.carry(start, &format!("{start}_*"), note, Some(inline(settings)));
    }
}

/// The folder of backups becomes the place of a repository.
fn repository(draft: &mut Draft<'_>, root: &mut Fields<'_>) {
    let at = root.place("backup_directory");
    if !root.has("backup_directory") {
        draft.refuse(0, "it has no backup_directory", None);
    }
    let Some(folder) = root.text(draft, "backup_directory") else {
        return;
    };
    let mut table = Table::new(&["repositories", "main"]);
    let place = format!("{}/lifeboat", folder.trim_end_matches('/'));
    table.text("place", &place);
    let file = draft.empty_file("main.password");
    table.text("password_file", &file);
    draft.add(table);
    let message = format!("backup_directory: the repository is {place}, what is beside it stays");
    let next = format!("write a new password into {file}, chmod 600, then lifeboat init -r @main");
    draft.note(at, &message, Some(&next));
}

/// What every machine has, unless it says otherwise: settings of its policy, and a time of day.
#[derive(Default)]
struct Usual {
    policy: Settings,
    time: Option<String>,
}

fn usual(draft: &mut Draft<'_>, root: &mut Fields<'_>) -> Usual {
    let mut usual = Usual::default();
    let Some(mut fields) = root.table(draft, "backup_settings") else {
        return usual;
    };
    if fields.flag(draft, "incremental_enabled") == Some(false) {
        usual.policy.insert("incremental", "false".to_owned());
    }
    for (name, ours, max) in [
        ("max_incremental_chain_length", "full_after", CHAIN_MAX),
        ("force_full_backup_days", "full_days", DAYS_MAX),
    ] {
        if let Some(number) = fields.number(draft, name, max).filter(|it| *it > 0) {
            usual.policy.insert(ours, number.to_string());
        }
    }
    usual.time = fields.time(draft, "default_backup_time");
    fields.carry_rest(draft, "backup_settings", "backup_settings", UNKNOWN);
    usual
}

fn restore(draft: &mut Draft<'_>, root: &mut Fields<'_>) {
    let at = root.place("restore_settings");
    let Some(fields) = root.table(draft, "restore_settings") else {
        return;
    };
    let mut settings = Vec::new();
    for (name, value) in fields.map {
        let at = fields.place(name);
        if !RESTORE.contains(&name.as_str()) {
            let message = format!("restore_settings/{name}: {UNKNOWN}; carried over");
            draft.note(at, &message, None);
        }
        settings.push(kept(draft, name, value, at));
    }
    let note = "restores are begun by hand: lifeboat machine recover";
    let message = format!("restore_settings: carried over, not carried out: {note}");
    draft.note(at, &message, None);
    let settings = inline(settings);
    draft.carry("restore_settings", "restore_settings", note, Some(settings));
}

/// What that program remembers is of no use here.
fn checkpoints(draft: &mut Draft<'_>, root: &mut Fields<'_>) {
    let at = root.place("checkpoints_file");
    if let Some(value) = root.take("checkpoints_file") {
        let note = "the memory of that program is not read: first backups here read everything";
        draft.note(at, &format!("checkpoints_file: {note}"), None);
        let kept = kept(draft, "checkpoints_file", value, at);
        draft.carry(
            "checkpoints_file",
            "checkpoints_file",
            note,
            Some(inline([kept])),
        );
    }
}

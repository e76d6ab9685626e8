//! The variables of a program that backs up machines of oVirt.

mod machine;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::draft::{Draft, Table, inline, key, quoted};
use super::located::{Located, escaped};
use super::restic::is_secret;
use machine::Machines;

/// Settings of a restore.
const RESTORE: [&str; 8] = [
    "target_cluster",
    "target_storage_domain",
    "disk_interface",
    "timeout_minutes",
    "auto_start_restored_vm",
    "vm_name_suffix",
    "replace_existing_vm",
    "backup_old_vm",
];

pub(super) fn import(draft: &mut Draft<'_>) {
    let source = draft.source;
    let located = match Located::parse(&source.text) {
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
    let machines = root.take("vms_config");
    if let Some((value, path)) = machines {
        Machines::new(&located, usual).import(draft, value, &path);
    } else {
        draft.refuse(0, "it has no vms_config: no machine is named", None);
    }
    root.carry_rest(draft, "variables", "");
}

/// Settings of an engine; the source is a platform.
fn engine(draft: &mut Draft<'_>, root: &mut Fields<'_>, start: &str) {
    let is_source = start == "source_ovirt";
    let names: Vec<&String> = root.map.keys().collect();
    let names = names.into_iter().filter(|name| name.starts_with(start));
    let names: Vec<String> = names.cloned().collect();
    let mut settings = Vec::new();
    let mut address = None;
    for name in &names {
        let Some((value, path)) = root.take(name) else {
            continue;
        };
        let word = name[start.len()..].trim_start_matches('_');
        let is_address = ["url", "fqdn", "host", "engine_url", "engine"].contains(&word);
        if is_address && let Some(text) = value.as_str() {
            address = Some(text.to_owned());
        }
        settings.push(kept(draft, name, value, root.located.place(&path)));
    }
    if is_source {
        let address = address.unwrap_or_default();
        let address = address
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let note = "platforms of oVirt have no adapter yet";
        let mut platform = Table::new(&["platforms", "source"]);
        platform.text("uri", &format!("ovirt://{address}"));
        platform.text("carried_over", &draft.mark(note));
        draft.add(platform);
    }
    if let Some(first) = names.first() {
        let at = root.located.place(&format!("/{}", escaped(first)));
        let note = "platforms of oVirt have no adapter yet";
        draft.note(
            at,
            &format!("{start}_*: carried over, not carried out: {note}"),
            None,
        );
        draft.carry(start, &format!("{start}_*"), note, Some(inline(&settings)));
    }
}

/// The folder of backups becomes the place of a repository.
fn repository(draft: &mut Draft<'_>, root: &mut Fields<'_>) {
    let at = root.place("backup_directory");
    let Some(folder) = root.text(draft, "backup_directory") else {
        if !root.map.contains_key("backup_directory") {
            draft.refuse(0, "it has no backup_directory", None);
        }
        return;
    };
    let mut table = Table::new(&["repositories", "main"]);
    let place = format!("{}/lifeboat", folder.trim_end_matches('/'));
    table.text("place", &place);
    let file = draft.file("main.password");
    table.text("password_file", &file);
    draft.add(table);
    let message = format!("backup_directory: the repository is {place}, what is beside it stays");
    let next = format!("write a new password into {file}, chmod 600, then lifeboat init -r @main");
    draft.note(at, &message, Some(&next));
}

/// What every machine has, unless it says otherwise: settings of its policy, and a time of day.
struct Usual {
    policy: Vec<(String, String)>,
    time: Option<String>,
}

fn usual(draft: &mut Draft<'_>, root: &mut Fields<'_>) -> Usual {
    let mut usual = Usual {
        policy: Vec::new(),
        time: None,
    };
    let Some(mut fields) = root.table(draft, "backup_settings") else {
        return usual;
    };
    if let Some(flag) = fields.flag(draft, "incremental_enabled") {
        usual
            .policy
            .push(("incremental".to_owned(), flag.to_string()));
    }
    for (name, ours) in [
        ("max_incremental_chain_length", "full_after"),
        ("force_full_backup_days", "full_days"),
    ] {
        if let Some(number) = fields.number(draft, name).filter(|it| *it > 0) {
            usual.policy.push((ours.to_owned(), number.to_string()));
        }
    }
    usual.time = fields.time(draft, "default_backup_time");
    fields.carry_rest(draft, "backup_settings", "backup_settings");
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
            let message =
                format!("restore_settings.{name}: nobody knows this setting; carried over");
            draft.note(at, &message, None);
        }
        settings.push(kept(draft, name, value, at));
    }
    let note = "restores are begun by hand: lifeboat machine recover";
    let message = format!("restore_settings: carried over, not carried out: {note}");
    draft.note(at, &message, None);
    let settings = inline(&settings);
    draft.carry("restore_settings", "restore_settings", note, Some(settings));
}

/// The settings of one table of JSON, taken one by one.
struct Fields<'v> {
    map: &'v Map<String, Value>,
    path: String,
    located: &'v Located,
    taken: BTreeSet<String>,
}

impl<'v> Fields<'v> {
    fn new(map: &'v Map<String, Value>, path: &str, located: &'v Located) -> Self {
        Self {
            map,
            path: path.to_owned(),
            located,
            taken: BTreeSet::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{}", self.path, escaped(name))
    }

    fn place(&self, name: &str) -> usize {
        self.located.place(&self.path(name))
    }

    /// A value and its path; null is as if it were not there.
    fn take(&mut self, name: &str) -> Option<(&'v Value, String)> {
        let value = self.map.get(name)?;
        self.taken.insert(name.to_owned());
        (!value.is_null()).then(|| (value, self.path(name)))
    }

    fn wrong(&self, draft: &mut Draft<'_>, name: &str, wanted: &str) {
        let path = self.path(name);
        let message = format!("{}: it must be {wanted}", path.trim_start_matches('/'));
        draft.refuse(self.place(name), &message, None);
    }

    fn text(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<String> {
        let (value, _) = self.take(name)?;
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong(draft, name, "a text");
        }
        text.map(str::to_owned)
    }

    fn flag(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<bool> {
        let (value, _) = self.take(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong(draft, name, "true or false");
        }
        flag
    }

    fn number(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<u32> {
        let (value, _) = self.take(name)?;
        let number = value.as_u64().and_then(|it| u32::try_from(it).ok());
        if number.is_none() {
            self.wrong(draft, name, "a whole number that is not negative");
        }
        number
    }

    /// A time of day as in 02:00.
    fn time(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<String> {
        let text = self.text(draft, name)?;
        let is_time = text.parse::<jiff::civil::Time>().is_ok() && text.contains(':');
        if !is_time {
            self.wrong(draft, name, "a time of day, as in 02:00");
        }
        is_time.then_some(text)
    }

    fn table(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<Fields<'v>> {
        let (value, path) = self.take(name)?;
        let Some(map) = value.as_object() else {
            self.wrong(draft, name, "a table: { ... }");
            return None;
        };
        Some(Fields::new(map, &path, self.located))
    }

    /// Keeps what nobody took, and says so.
    fn carry_rest(self, draft: &mut Draft<'_>, entry: &str, from: &str) {
        let mut settings = Vec::new();
        for (name, value) in self.map {
            if self.taken.contains(name) {
                continue;
            }
            let at = self.place(name);
            let path = self.path(name);
            let path = path.trim_start_matches('/');
            let message = format!("{path}: nobody knows this setting; carried over");
            draft.note(at, &message, None);
            settings.push(kept(draft, name, value, at));
        }
        if !settings.is_empty() {
            let from = if from.is_empty() {
                "its own settings"
            } else {
                from
            };
            let note = "nothing here knows these settings";
            draft.carry(entry, from, note, Some(inline(&settings)));
        }
    }
}

/// A setting as TOML keeps it; a secret one by its file.
fn kept(draft: &mut Draft<'_>, name: &str, value: &Value, at: usize) -> (String, String) {
    if is_secret(name)
        && let Some(secret) = value.as_str().filter(|it| !it.is_empty())
    {
        let file = draft.secret(&name.to_ascii_lowercase(), secret);
        let message = format!("{name}: the secret goes into {file}");
        draft.note(at, &message, None);
        return (key(&format!("{name}_file")), quoted(&file));
    }
    (key(name), toml_of(draft, value, at))
}

/// JSON as TOML; null, which TOML has not, as a text.
fn toml_of(draft: &mut Draft<'_>, value: &Value, at: usize) -> String {
    match value {
        Value::Null => quoted("null"),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) if number.is_u64() || number.is_i64() => match number.as_i64() {
            Some(number) => number.to_string(),
            None => quoted(&number.to_string()),
        },
        Value::Number(number) => quoted(&number.to_string()),
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(|it| toml_of(draft, it, at)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let settings = map.iter().map(|(name, value)| kept(draft, name, value, at));
            let settings: Vec<_> = settings.collect();
            inline(&settings)
        }
    }
}

//! The configuration as a JSON schema, for editors and for those who write files by program.

use std::collections::BTreeMap;

use lifeboat_config::{Kind, Setting, settings};
use serde_json::{Map, Value, json};

/// Spans of time, as in `1h30m`.
const SPAN: &str = "^(0|([0-9]+[smhd])+)$";
/// Numbers of bytes, as in `64M`.
const SIZE: &str = "^[0-9]+([.][0-9]+)?([KMGTPkmgtp](iB|B)?)?$";
/// Settings that only one kind of target needs.
const TARGETS: &str = "notifications.targets.*";
/// Tables with a password that must be somewhere.
const WITH_PASSWORD: &str = "repositories.*";

/// The schema, draft 2020-12.
pub(crate) fn schema() -> Value {
    let mut root = Node::default();
    for setting in settings() {
        root.take(setting);
    }
    let mut schema = root.table("");
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!("lifeboat.toml"));
    Value::Object(schema)
}

/// A setting with what is below it.
#[derive(Default)]
struct Node {
    setting: Option<Setting>,
    below: BTreeMap<&'static str, Node>,
}

impl Node {
    fn take(&mut self, setting: Setting) {
        let mut node = self;
        for part in setting.path.split('.') {
            let (key, is_list) = match part.strip_suffix("[]") {
                Some(key) => (key, true),
                None => (part, false),
            };
            node = node.below.entry(key).or_default();
            if is_list {
                node = node.below.entry("[]").or_default();
            }
        }
        node.setting = Some(setting);
    }

    fn value(&self, path: &str) -> Value {
        let mut value = match self.setting.map(|it| it.kind) {
            Some(Kind::Tables) => {
                let below = self.below.get("*");
                let path = format!("{path}.*");
                let each = below.map_or(json!({}), |it| Value::Object(it.table(&path)));
                json!({"type": "object", "additionalProperties": each})
            }
            Some(Kind::List) => {
                let below = self.below.get("[]");
                let each = below.map_or(json!({}), |it| Value::Object(it.table(path)));
                json!({"type": "array", "items": each})
            }
            Some(Kind::Table) | None => Value::Object(self.table(path)),
            Some(kind) => one(kind),
        };
        if let Some(setting) = &self.setting {
            value["description"] = json!(setting.about);
        }
        value
    }

    /// A table with these keys and no others.
    fn table(&self, path: &str) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut needed = Vec::new();
        for (key, node) in &self.below {
            let path = match path.is_empty() {
                true => (*key).to_owned(),
                false => format!("{path}.{key}"),
            };
            properties.insert((*key).to_owned(), node.value(&path));
            if node.setting.is_some_and(|it| it.is_needed) {
                needed.push(*key);
            }
        }
        let mut table = Map::new();
        if path == "jobs.*" {
            properties.extend(job_settings());
        }
        if path == TARGETS {
            let is_mail = json!({"properties": {"kind": {"const": "smtp"}}});
            table.insert("if".to_owned(), is_mail);
            table.insert("then".to_owned(), json!({"required": needed}));
            needed = vec!["kind"];
        }
        if path == WITH_PASSWORD {
            let ways = ["file", "env", "command", "credential"];
            let ways = ways.map(|way| json!({"required": [format!("password_{way}")]}));
            table.insert("oneOf".to_owned(), json!(ways));
        }
        table.insert("type".to_owned(), json!("object"));
        table.insert("properties".to_owned(), Value::Object(properties));
        table.insert("additionalProperties".to_owned(), json!(false));
        if !needed.is_empty() {
            table.insert("required".to_owned(), json!(needed));
        }
        table
    }
}

fn one(kind: Kind) -> Value {
    let texts = |item: Value| json!({"anyOf": [item, {"type": "array", "items": item}]});
    match kind {
        Kind::Text | Kind::Schedule => json!({"type": "string"}),
        Kind::Texts => texts(json!({"type": "string"})),
        Kind::Word(words) => json!({"enum": words}),
        Kind::Words(words) => texts(json!({"enum": words})),
        Kind::Number(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Kind::NumberOrText => json!({"type": ["integer", "string"]}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Span => json!({"type": "string", "pattern": SPAN}),
        Kind::Size => json!({"type": "string", "pattern": SIZE}),
        Kind::Any | Kind::Table | Kind::Tables | Kind::List => json!({}),
    }
}

/// What a job says of captures.
fn job_settings() -> Map<String, Value> {
    let texts =
        |about: &str| json!({"type": "array", "items": {"type": "string"}, "description": about});
    let text = |about: &str| json!({"type": "string", "description": about});
    let word = |words: &[&str], about: &str| json!({"enum": words, "description": about});
    let number = |low: u32, high: u32, about: &str| json!({"type": "integer", "minimum": low, "maximum": high, "description": about});
    let size = |about: &str| json!({"type": "string", "pattern": SIZE, "description": about});
    let settings = json!({
        "machines": texts("Names, patterns as in web*, tag:KEY=VALUE, id:ID; all unless given."),
        "all_but": texts("Machines that are left out, written the same way."),
        "disks": texts("Only these disks of every machine."),
        "all_disks_but": texts("Disks that are left out."),
        "offline": word(&["back_up", "skip", "fail"], "A machine that is not running."),
        "offline_ok": {"type": "boolean", "description": "Short for offline: back_up or fail."},
        "quiesce": word(
            &["never", "if_possible", "required"], "Freezing of the guests' file systems."
        ),
        "freeze_seconds_max": number(1, 10, "The longest time a guest may stay frozen."),
        "scratch": text("Where the platform keeps what guests overwrite meanwhile: a folder."),
        "tags": texts("Tags of the snapshots."),
        "parallel": number(1, 64, "Machines at the same time. Usual: 2."),
        "parallel_per_host": number(1, 64, "The same for all runs of this computer, on one host."),
        "parallel_per_repository": number(
            1, 64, "The same for all runs of this computer, into one repository."
        ),
        "bandwidth": size("Bytes per second read from disks."),
        "nice": number(0, 19, "The priority of the process."),
        "ionice": text("The priority of its input and output: idle, or 0 to 7."),
        "lvm": lvm_settings(),
        "files": {
            "type": "object",
            "description": "Files inside the machines are stored instead of disks.",
            "additionalProperties": false,
            "properties": {
                "mount": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "Where volumes appear, as in vda2 = \"/\".",
                },
                "source": texts("Paths that are taken; everything unless given."),
                "exclude": texts("Patterns that are left out."),
            },
        },
        "pre_snapshot": hooks("Before the capture."),
        "on_snapshot": hooks("When the capture is there."),
        "post_snapshot": hooks("After everything, whatever happened."),
        "pre_recovery": hooks("Before a recovery."),
        "end_recovery": hooks("Inside the restored disks, before the machine starts."),
        "post_recovery": hooks("When the machine is back."),
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

fn lvm_settings() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "description": "Snapshots of LVM volumes.",
        "additionalProperties": false,
        "properties": {
            "snapshot_size": text("Room for what is overwritten: a share as in 10%, or a size."),
            "snapshot_min": text("At least so much room."),
            "snapshot_max": text("At most so much room."),
            "keep_snapshots": text("Which snapshots stay after a run."),
        },
    })
}

fn hooks(about: &str) -> Value {
    json!({
        "type": "array",
        "description": about,
        "items": {
            "type": "object",
            "required": ["run"],
            "additionalProperties": false,
            "properties": {
                "run": {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "description": "The program and its words.",
                },
                "where": {"type": "string", "description": "host, guest or ssh:DESTINATION."},
                "seconds_max": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 86_400,
                    "description": "It is ended after this time. Usual: 300.",
                },
                "on_failure": {
                    "enum": ["fail", "warn", "ignore"],
                    "description": "What its failure means for the run. Usual: fail.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lifeboat_control::JobText;

    use super::*;

    /// The names that a table of jobs knows, from what it says of one that it does not know.
    fn known(text: &str) -> BTreeSet<String> {
        let error = JobText::from_toml(text).expect_err("it knows no such setting");
        let error = error.to_string();
        let list = error
            .split("expected")
            .nth(1)
            .expect("it lists what it knows");
        let names = list.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    }

    #[test]
    fn the_settings_of_jobs_are_those_that_jobs_know() {
        let settings = Value::Object(job_settings());
        let keys = |value: &Value| -> BTreeSet<String> {
            let table = value.as_object().expect("it is a table");
            table.keys().cloned().collect()
        };
        assert_eq!(known("zzz = 1"), keys(&settings));
        assert_eq!(known("lvm.zzz = 1"), keys(&settings["lvm"]["properties"]));
        assert_eq!(
            known("files.zzz = 1"),
            keys(&settings["files"]["properties"])
        );
        for when in settings.as_object().expect("it is a table").keys() {
            let items = &settings[when]["items"]["properties"];
            if items.is_object() {
                assert_eq!(
                    known(&format!("[[{when}]]\nzzz = 1")),
                    keys(items),
                    "{when}"
                );
            }
        }
    }

    #[test]
    fn every_setting_is_in_the_schema() {
        let schema = schema();
        for setting in settings() {
            let mut path = String::new();
            for part in setting.path.split('.') {
                match part.strip_suffix("[]") {
                    _ if part == "*" => path.push_str("/additionalProperties"),
                    Some(key) => path.push_str(&format!("/properties/{key}/items")),
                    None => path.push_str(&format!("/properties/{part}")),
                }
            }
            let found = schema.pointer(&path);
            let about = found.and_then(|it| it["description"].as_str());
            assert_eq!(about, Some(setting.about), "{path}");
        }
    }
}

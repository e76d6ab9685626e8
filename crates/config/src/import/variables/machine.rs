//! One machine of the variables: a job, and the policy that it has.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::VmName;
use lifeboat_policy::Schedule;
use serde_json::Value;

use super::super::MACHINES_MAX;
use super::super::draft::{Draft, Names, Table, inline, list, quoted};
use super::super::located::{Located, escaped};
use super::Usual;
use super::fields::{Fields, kept};
use super::rules::{Settings, backup_type, retention, retries};
use super::schedule::{Meant, of_bits, of_table, of_word};

/// The machines that were read so far.
pub(super) struct Machines<'v> {
    located: &'v Located,
    usual: Usual,
    /// Names of policies, by what they say: equal ones are one.
    policies: BTreeMap<Settings, String>,
    policy_names: Names,
    jobs: BTreeSet<String>,
    /// Restores that they ask for.
    restores: Vec<(String, String)>,
}

impl<'v> Machines<'v> {
    pub(super) fn new(located: &'v Located, usual: Usual) -> Self {
        Self {
            located,
            usual,
            policies: BTreeMap::new(),
            policy_names: Names::default(),
            jobs: BTreeSet::new(),
            restores: Vec::new(),
        }
    }

    /// A list of machines, or a table of them by name.
    pub(super) fn import(mut self, draft: &mut Draft<'_>, value: &'v Value, path: &str) {
        let at = self.located.place(path);
        let each: Vec<(Option<&str>, String, &Value)> = match value {
            Value::Array(list) => {
                let each = list.iter().enumerate();
                each.map(|(number, it)| (None, format!("{path}/{number}"), it))
                    .collect()
            }
            Value::Object(map) => {
                let each = map.iter();
                each.map(|(name, it)| {
                    (Some(name.as_str()), format!("{path}/{}", escaped(name)), it)
                })
                .collect()
            }
            _ => {
                draft.refuse(at, "vms_config: it must be a table of machines", None);
                return;
            }
        };
        if each.is_empty() || each.len() > MACHINES_MAX {
            let message = format!("vms_config: it must name 1 to {MACHINES_MAX} machines");
            draft.refuse(at, &message, None);
            return;
        }
        let zone = "vms_config: times are those of this computer; Airflow goes by UTC unless its \
                    default_timezone says another";
        draft.note(
            at,
            zone,
            Some("write zone = \"UTC\" into the policies then"),
        );
        for (name, path, value) in each {
            let Some(map) = value.as_object() else {
                let message = format!("{}: it must be a table: {{ ... }}", &path[1..]);
                draft.refuse(self.located.place(&path), &message, None);
                continue;
            };
            self.machine(draft, Fields::new(map, &path, self.located), name);
        }
        if !self.restores.is_empty() {
            let settings = Some(inline(self.restores));
            draft.carry("auto_restore", "vms_config", RESTORE, settings);
        }
    }

    fn machine(&mut self, draft: &mut Draft<'_>, mut fields: Fields<'v>, name: Option<&str>) {
        let at = self.located.place(&fields.path);
        let keys = ["vm_name", "name"];
        let named = keys.into_iter().filter_map(|key| fields.text(draft, key));
        let name = named.last().or_else(|| name.map(str::to_owned));
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let message = format!("{}: it has no vm_name", &fields.path[1..]);
            draft.refuse(at, &message, None);
            return;
        };
        if !self.jobs.insert(name.clone()) {
            let message = format!("{}: {name:?} is there twice", &fields.path[1..]);
            draft.refuse(at, &message, Some("leave the one that counts"));
            return;
        }
        if name.parse::<VmName>().is_err() {
            draft.note_of(
                &name,
                at,
                "no machine can have this name here, so none will be found",
            );
        }
        let policy = self.policy(draft, &mut fields, &name);
        let mut job = Table::new(&["jobs", &name]);
        job.text("platform", "source");
        job.text("repository", "main");
        job.text("policy", &policy);
        if fields.flag(draft, "enabled") == Some(false) {
            job.set("enabled", "false");
        }
        let pattern = pattern(&name);
        if pattern != name {
            draft.note_of(
                &name,
                at,
                "other machines may fit the name: look at the job's machines",
            );
        }
        job.set("machines", list(&[pattern]));
        draft.add(job);
        self.restore(draft, &mut fields, &name);
        let (entry, from) = (format!("{name}_settings"), format!("vms_config, {name}"));
        fields.carry_rest(draft, &entry, &from, super::UNKNOWN);
    }

    /// The name of the machine's policy; equal ones are one.
    fn policy(&mut self, draft: &mut Draft<'_>, fields: &mut Fields<'v>, name: &str) -> String {
        let mut settings = self.usual.policy.clone();
        let schedule = self.schedule(draft, fields, name);
        if let Some(schedule) = &schedule {
            settings.insert("schedule", quoted(schedule));
        }
        backup_type(draft, fields, name, &mut settings);
        retention(draft, fields, name, &mut settings);
        retries(draft, fields, &mut settings);
        if let Some(known) = self.policies.get(&settings) {
            return known.clone();
        }
        let name = self
            .policy_names
            .unique(&policy_name(schedule.as_deref()), '-');
        let mut table = Table::new(&["policies", &name]);
        for (key, value) in &settings {
            table.set(key, value.clone());
        }
        draft.add(table);
        self.policies.insert(settings, name.clone());
        name
    }

    /// When it runs, in our words; what cannot be said in them is carried over.
    fn schedule(
        &self,
        draft: &mut Draft<'_>,
        fields: &mut Fields<'v>,
        name: &str,
    ) -> Option<String> {
        let time = self.usual.time.as_deref();
        let key = ["schedule", "backup_policy"]
            .into_iter()
            .find(|key| fields.has(key));
        let Some((key, value)) = key.and_then(|key| Some((key, fields.take(key)?))) else {
            let at = self.located.place(&fields.path);
            draft.note_of(name, at, "no schedule: that program runs every day then");
            return Some(format!("daily {}", time.unwrap_or("02:00")));
        };
        let at = fields.place(key);
        let understood = match (key, value) {
            ("backup_policy", bits) => of_bits(bits, time),
            (_, Value::String(word)) => of_word(word, time),
            (_, Value::Object(map)) => {
                let mut inner = Fields::new(map, &fields.path(key), self.located);
                let understood = of_table(draft, &mut inner, time);
                if understood.is_ok() {
                    let entry = format!("{name}_schedule_settings");
                    let from = format!("vms_config, {name}, schedule");
                    let why = "this kind of schedule does not look at it";
                    inner.carry_rest(draft, &entry, &from, why);
                }
                understood
            }
            _ => {
                fields.wrong(draft, key, "a word or a table");
                return None;
            }
        };
        let checked = understood.and_then(|Meant { words, told }| {
            words
                .parse::<Schedule>()
                .map_err(|error| error.to_string())?;
            Ok((words, told))
        });
        match checked {
            Ok((words, told)) => {
                if let Some(told) = told {
                    draft.note_of(name, at, &told);
                }
                Some(words)
            }
            Err(why) => {
                let note = format!("the schedule was not understood: {why}");
                let message = format!("{name}: {note}; carried over, not carried out");
                let next = "write schedule = \"daily 02:00\" into its policy, or another";
                draft.note(at, &message, Some(next));
                let kept = kept(draft, key, value, at);
                let entry = format!("{name}_schedule");
                let from = format!("vms_config, {name}, {key}");
                draft.carry(&entry, &from, &note, Some(inline([kept])));
                None
            }
        }
    }

    fn restore(&mut self, draft: &mut Draft<'_>, fields: &mut Fields<'v>, name: &str) {
        let at = fields.place("auto_restore");
        match fields.take("auto_restore") {
            None | Some(Value::Bool(false)) => {}
            Some(value) => {
                let message = format!("auto_restore: carried over, not carried out: {RESTORE}");
                draft.note_of(name, at, &message);
                self.restores.push(kept(draft, name, value, at));
            }
        }
    }
}

const RESTORE: &str = "restores are not begun by a schedule yet";

/// A machine's name as a pattern: no sign of it stands for more than one, or for a tag.
fn pattern(name: &str) -> String {
    let is_rule = ["tag:", "id:"].iter().any(|start| name.starts_with(start));
    let name = name.replace('*', "?");
    match is_rule {
        true => format!("?{}", &name[1..]),
        false => name,
    }
}

/// `monthly-1st-sun-0200`, after the schedule.
fn policy_name(schedule: Option<&str>) -> String {
    let Some(schedule) = schedule else {
        return "without-schedule".to_owned();
    };
    let words = schedule.replace(':', "");
    let words = words.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").chars().take(40).collect()
}

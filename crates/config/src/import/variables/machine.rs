//! One machine of the variables: a job, and the policy that it has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::MACHINES_MAX;
use super::super::draft::{Draft, Table, inline, list};
use super::super::located::Located;
use super::super::week::{Written, weekday};
use super::{Fields, Usual, kept};

/// The machines that were read so far.
pub(super) struct Machines<'v> {
    located: &'v Located,
    usual: Usual,
    /// Names of policies, by what they say: equal ones are one.
    policies: BTreeMap<Vec<(String, String)>, String>,
    jobs: BTreeSet<String>,
}

impl<'v> Machines<'v> {
    pub(super) fn new(located: &'v Located, usual: Usual) -> Self {
        Self {
            located,
            usual,
            policies: BTreeMap::new(),
            jobs: BTreeSet::new(),
        }
    }

    /// A list of machines, or a table of them by name.
    pub(super) fn import(&mut self, draft: &mut Draft<'_>, value: &'v Value, path: &str) {
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
                    let path = format!("{path}/{}", super::escaped(name));
                    (Some(name.as_str()), path, it)
                })
                .collect()
            }
            _ => {
                draft.refuse(at, "vms_config: it must be a list of machines", None);
                return;
            }
        };
        if each.is_empty() || each.len() > MACHINES_MAX {
            let message = format!("vms_config: it must name 1 to {MACHINES_MAX} machines");
            draft.refuse(at, &message, None);
            return;
        }
        for (name, path, value) in each {
            let Some(map) = value.as_object() else {
                let message = format!("{}: it must be a table: {{ ... }}", &path[1..]);
                draft.refuse(self.located.place(&path), &message, None);
                continue;
            };
            self.machine(draft, Fields::new(map, &path, self.located), name);
        }
    }

    fn machine(&mut self, draft: &mut Draft<'_>, mut fields: Fields<'v>, name: Option<&str>) {
        let at = self.located.place(&fields.path);
        let keys = ["vm_name", "name"];
        let named = keys.into_iter().filter_map(|key| fields.text(draft, key));
        let Some(name) = named.last().or_else(|| name.map(str::to_owned)) else {
            let message = format!("{}: it has no vm_name", &fields.path[1..]);
            draft.refuse(at, &message, None);
            return;
        };
        if !self.jobs.insert(name.clone()) {
            let message = format!("{}: {name:?} is there twice", &fields.path[1..]);
            draft.refuse(at, &message, None);
            return;
        }
        let policy = self.policy(draft, &mut fields, &name);
        let mut job = Table::new(&["jobs", &name]);
        job.text("platform", "source");
        job.text("repository", "main");
        if let Some(policy) = policy {
            job.text("policy", &policy);
        }
        if let Some(flag) = fields.flag(draft, "enabled") {
            job.set("enabled", flag.to_string());
        }
        job.set("machines", list(std::slice::from_ref(&name)));
        draft.add(job);
        self.restore(draft, &mut fields, &name);
        fields.carry_rest(
            draft,
            &format!("{name}_settings"),
            &format!("vms_config, {name}"),
        );
    }

    /// The name of the machine's policy; equal ones are one.
    fn policy(
        &mut self,
        draft: &mut Draft<'_>,
        fields: &mut Fields<'v>,
        name: &str,
    ) -> Option<String> {
        let mut settings: BTreeMap<String, String> = self.usual.policy.iter().cloned().collect();
        if let Some(schedule) = self.schedule(draft, fields, name) {
            settings.insert("schedule".to_owned(), super::quoted(&schedule));
        }
        backup_type(draft, fields, name, &mut settings);
        retention(draft, fields, name, &mut settings);
        if settings.is_empty() {
            return None;
        }
        let content: Vec<_> = settings.into_iter().collect();
        if let Some(known) = self.policies.get(&content) {
            return Some(known.clone());
        }
        let mut table = Table::new(&["policies", name]);
        for (key, value) in &content {
            table.set(key, value.clone());
        }
        draft.add(table);
        self.policies.insert(content, name.to_owned());
        Some(name.to_owned())
    }

    /// When it runs, in our words; what cannot be said in them is carried over.
    fn schedule(
        &self,
        draft: &mut Draft<'_>,
        fields: &mut Fields<'v>,
        name: &str,
    ) -> Option<String> {
        let at = fields.place("schedule");
        let (value, path) = fields.take("schedule")?;
        let usual = self.usual.time.iter().cloned();
        let mut written = Written {
            times: usual.collect(),
            ..Written::default()
        };
        match value {
            Value::String(word) => written.sort.clone_from(word),
            Value::Object(map) => {
                let inner = Fields::new(map, &path, self.located);
                self.take_schedule(draft, inner, name, &mut written);
            }
            _ => {
                fields.wrong(draft, "schedule", "a word or a table");
                return None;
            }
        }
        let words = written.words();
        let checked = words.and_then(|words| {
            let parsed = words.parse::<lifeboat_policy::Schedule>();
            parsed.map_err(|error| error.to_string()).map(|_| words)
        });
        match checked {
            Ok(words) => Some(words),
            Err(why) => {
                let note = format!("the schedule was not understood: {why}");
                draft.note(
                    at,
                    &format!("{name}: {note}; carried over, not carried out"),
                    None,
                );
                let kept = kept(draft, "schedule", value, at);
                let entry = format!("{name}_schedule");
                let from = format!("vms_config, {name}, schedule");
                draft.carry(&entry, &from, &note, Some(inline(&[kept])));
                None
            }
        }
    }

    fn take_schedule(
        &self,
        draft: &mut Draft<'_>,
        mut inner: Fields<'v>,
        name: &str,
        written: &mut Written<'v>,
    ) {
        written.sort = inner
            .text(draft, "type")
            .unwrap_or_else(|| "simple".to_owned());
        for key in ["frequency", "value", "pattern_name"] {
            written.frequency = inner.text_if(key).or(written.frequency.take());
        }
        for key in ["cron", "expression", "cron_expression"] {
            written.cron = inner.text_if(key).or(written.cron.take());
        }
        let mut times = Vec::new();
        for key in ["time", "times", "start_time", "backup_time"] {
            times.extend(inner.times(draft, key));
        }
        if !times.is_empty() {
            written.times = times;
        }
        for key in [
            "days",
            "weekdays",
            "day_of_week",
            "day",
            "weekday",
            "pattern",
            "bits",
        ] {
            written.days = inner.take(key).map(|(value, _)| value).or(written.days);
        }
        for key in ["day_of_month", "days_of_month", "month_days"] {
            written.of_month = inner.take(key).map(|(value, _)| value).or(written.of_month);
        }
        for key in ["week_of_month", "nth", "week"] {
            let value = inner.take(key).map(|(value, _)| value);
            let text = value.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
            written.nth = text.or(written.nth.take());
        }
        let entry = format!("{name}_schedule_settings");
        inner.carry_rest(draft, &entry, &format!("vms_config, {name}, schedule"));
    }

    fn restore(&self, draft: &mut Draft<'_>, fields: &mut Fields<'v>, name: &str) {
        let at = fields.place("auto_restore");
        let Some((value, _)) = fields.take("auto_restore") else {
            return;
        };
        let note = "restores are not begun by a schedule yet";
        let message = format!("{name}: auto_restore: carried over, not carried out: {note}");
        draft.note(at, &message, None);
        let kept = kept(draft, "auto_restore", value, at);
        let entry = format!("{name}_auto_restore");
        let from = format!("vms_config, {name}, auto_restore");
        draft.carry(&entry, &from, note, Some(inline(&[kept])));
    }
}

impl<'v> Fields<'v> {
    /// A text, if it is one; else it is left to be carried over.
    fn text_if(&mut self, name: &str) -> Option<String> {
        let text = self.map.get(name)?.as_str()?.to_owned();
        self.taken.insert(name.to_owned());
        Some(text)
    }

    /// A time of day, or several.
    fn times(&mut self, draft: &mut Draft<'_>, name: &str) -> Vec<String> {
        let Some(list) = self.map.get(name).and_then(Value::as_array) else {
            return self.time(draft, name).into_iter().collect();
        };
        self.taken.insert(name.to_owned());
        let times: Option<Vec<_>> = list
            .iter()
            .map(|it| Some(it.as_str()?.to_owned()))
            .collect();
        if times.is_none() {
            self.wrong(draft, name, "a list of times of day");
        }
        times.unwrap_or_default()
    }
}

/// When everything is read.
fn backup_type(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    name: &str,
    settings: &mut BTreeMap<String, String>,
) {
    let at = fields.place("backup_type");
    let mut set = |key: &str, value: &str| settings.insert(key.to_owned(), value.to_owned());
    if let Some(word) = fields.text_if("backup_type") {
        match word.as_str() {
            "full" => set("incremental", "false"),
            "incremental" => set("incremental", "true"),
            _ => {
                let message = format!("{name}: backup_type {word:?}: write full or incremental");
                return draft.refuse(at, &message, None);
            }
        };
        return;
    }
    let Some(mut inner) = fields.table(draft, "backup_type") else {
        return;
    };
    let day = inner.text_if("full_backup_day");
    let day_bits = day.as_deref().map(|it| (it, weekday(it)));
    let frequency = inner.text_if("full_backup_frequency");
    match (frequency.as_deref(), day_bits) {
        (_, Some((text, None))) => {
            let at = inner.place("full_backup_day");
            let message = format!("{name}: full_backup_day {text:?}: write a weekday by its name");
            draft.refuse(at, &message, None);
        }
        (Some("weekly") | None, Some((_, Some(day)))) => {
            set("full_on", &super::quoted(day));
        }
        (Some("weekly"), None) => {
            set("full_days", "7");
        }
        (Some("monthly"), _) => {
            set("full_days", "30");
        }
        (Some("daily" | "always"), _) => {
            set("incremental", "false");
        }
        (Some("never") | None, _) => {}
        (Some(word), _) => {
            let at = inner.place("full_backup_frequency");
            let message = format!("{name}: full_backup_frequency {word:?} was not understood");
            let next = "write daily, weekly, monthly or never";
            draft.refuse(at, &message, Some(next));
        }
    }
    let entry = format!("{name}_backup_type");
    inner.carry_rest(draft, &entry, &format!("vms_config, {name}, backup_type"));
}

/// What is kept.
fn retention(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    name: &str,
    settings: &mut BTreeMap<String, String>,
) {
    let Some(mut inner) = fields.table(draft, "retention") else {
        return;
    };
    let keys = [
        "keep_last",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
    ];
    for key in keys {
        if let Some(count) = inner.number(draft, key).filter(|it| *it > 0) {
            settings.insert(key.to_owned(), count.to_string());
        }
    }
    if let Some(days) = inner
        .number(draft, "max_backup_age_days")
        .filter(|it| *it > 0)
    {
        settings.insert("max_age".to_owned(), format!("\"{days}d\""));
    }
    let entry = format!("{name}_retention");
    inner.carry_rest(draft, &entry, &format!("vms_config, {name}, retention"));
}

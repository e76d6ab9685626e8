//! Schedules as other programs write them, in our words.

use serde_json::Value;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const FULL_NAMES: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// A schedule's own settings, already taken apart.
#[derive(Default)]
pub(super) struct Written<'v> {
    /// simple, advanced, cron, custom, or one of the words of simple.
    pub(super) sort: String,
    pub(super) frequency: Option<String>,
    pub(super) times: Vec<String>,
    pub(super) days: Option<&'v Value>,
    pub(super) of_month: Option<&'v Value>,
    /// Which weekday of a month: 1 to 5, or last.
    pub(super) nth: Option<String>,
    pub(super) cron: Option<String>,
}

impl Written<'_> {
    /// In our words.
    ///
    /// Errors: what is not understood, in words.
    pub(super) fn words(&self) -> Result<String, String> {
        let times = match self.times.is_empty() {
            true => "02:00".to_owned(),
            false => self.times.join(", "),
        };
        let (sort, frequency) = (self.sort.to_ascii_lowercase(), self.frequency.as_deref());
        let frequency = frequency.map(str::to_ascii_lowercase);
        let form = match (sort.as_str(), frequency.as_deref()) {
            ("simple", Some(word)) => word,
            ("simple", None) => return Err("simple needs its frequency".to_owned()),
            (_, Some(_)) => return Err(format!("{sort:?} has no frequency")),
            (word, None) => word,
        };
        self.refuse_unused(form)?;
        match form {
            "cron" => {
                let cron = self.cron.as_deref().map(str::trim);
                let cron = cron.filter(|it| !it.is_empty());
                let cron = cron.ok_or("a schedule of type cron needs its expression")?;
                Ok(format!("cron {cron}"))
            }
            "custom" => {
                let days = self
                    .days
                    .ok_or("a schedule of type custom needs its seven days")?;
                Ok(format!("days {} {times}", seven_bits(days)?))
            }
            "advanced" => self.advanced(&times),
            word => self.simple(word, &times),
        }
    }

    /// What a form does not use would be lost.
    fn refuse_unused(&self, form: &str) -> Result<(), String> {
        let (days, of_month, nth, cron) = match form {
            "cron" => (false, false, false, true),
            "custom" | "weekly" | "biweekly" => (true, false, false, false),
            "monthly" => (false, true, false, false),
            "advanced" => (true, true, true, false),
            _ => (false, false, false, false),
        };
        let unused = [
            ("days of the week", self.days.is_some() && !days),
            ("days of the month", self.of_month.is_some() && !of_month),
            ("a week of the month", self.nth.is_some() && !nth),
            ("a cron expression", self.cron.is_some() && !cron),
        ];
        match unused.iter().find(|(_, is_unused)| *is_unused) {
            Some((what, _)) => Err(format!("{form:?} has {what}")),
            None => Ok(()),
        }
    }

    fn simple(&self, word: &str, times: &str) -> Result<String, String> {
        match word {
            "hourly" => Ok("hourly".to_owned()),
            "daily" | "weekdays" | "weekends" => Ok(format!("{word} {times}")),
            "weekly" | "biweekly" => {
                let days = self.days.map_or(Ok("sun".to_owned()), weekdays)?;
                Ok(format!("{word} {days} {times}"))
            }
            "monthly" => {
                let days = self.of_month.map_or(Ok("1".to_owned()), month_days)?;
                Ok(format!("monthly {days} {times}"))
            }
            _ => Err(format!(
                "{word:?} is none of simple, advanced, cron, custom, daily, weekdays, weekends, \
                 weekly, biweekly and monthly"
            )),
        }
    }

    fn advanced(&self, times: &str) -> Result<String, String> {
        if let Some(nth) = &self.nth {
            let days = weekdays(self.days.ok_or("the n-th weekday needs its day")?)?;
            let nth = match nth.as_str() {
                "1" | "first" | "1st" => "1st",
                "2" | "second" | "2nd" => "2nd",
                "3" | "third" | "3rd" => "3rd",
                "4" | "fourth" | "4th" => "4th",
                "5" | "fifth" | "5th" => "5th",
                "-1" | "last" => "last",
                other => return Err(format!("{other:?} is no week of a month")),
            };
            let parts: Vec<_> = days.split(", ").map(|day| format!("{nth} {day}")).collect();
            return Ok(format!("monthly {} {times}", parts.join(", ")));
        }
        match (self.of_month, self.days) {
            (Some(days), None) => Ok(format!("monthly {} {times}", month_days(days)?)),
            (None, Some(days)) => Ok(format!("weekly {} {times}", weekdays(days)?)),
            (None, None) => Ok(format!("daily {times}")),
            (Some(_), Some(_)) => Err("it has days of the week and of the month".to_owned()),
        }
    }
}

/// One or several values as a list.
fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    }
}

/// A weekday by its name; numbers mean Monday to some and Sunday to others.
pub(super) fn weekday(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    let at = DAYS.iter().zip(FULL_NAMES);
    let mut days = at.filter(|(short, full)| **short == text || *full == text);
    days.next().map(|(short, _)| *short)
}

fn weekdays(value: &Value) -> Result<String, String> {
    let mut days = Vec::new();
    for value in each(value) {
        let text = value.as_str().unwrap_or_default();
        for word in text.split(',') {
            let day = weekday(word).ok_or_else(|| format!("{value} is no weekday by name"))?;
            days.push(day);
        }
    }
    match days.is_empty() {
        true => Err("it names no day".to_owned()),
        false => Ok(days.join(", ")),
    }
}

fn month_days(value: &Value) -> Result<String, String> {
    let mut days = Vec::new();
    for value in each(value) {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        match (number, value.as_str(), value.as_i64()) {
            (Some(day @ 1..=31), _, _) => days.push(day.to_string()),
            (_, Some("last"), _) | (_, _, Some(-1)) => days.push("last day".to_owned()),
            _ => return Err(format!("{value} is no day of a month")),
        }
    }
    match days.is_empty() {
        true => Err("it names no day".to_owned()),
        false => Ok(days.join(", ")),
    }
}

/// `1111100`, Monday to Sunday, or the same as a list.
fn seven_bits(value: &Value) -> Result<String, String> {
    let bits: String = match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .map(|it| match (it.as_bool(), it.as_u64(), it.as_str()) {
                (Some(true), _, _) | (_, Some(1), _) | (_, _, Some("1")) => '1',
                (Some(false), _, _) | (_, Some(0), _) | (_, _, Some("0")) => '0',
                _ => '?',
            })
            .collect(),
        _ => String::new(),
    };
    let is_good = bits.len() == 7 && bits.bytes().all(|it| matches!(it, b'0' | b'1'));
    if !is_good || !bits.contains('1') {
        return Err(format!(
            "{value} are not seven bits, Monday to Sunday, with a 1 among them"
        ));
    }
    Ok(bits)
}

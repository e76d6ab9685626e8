//! Days as other programs write them, in our words.
//!
//! All errors are what was not understood, in words.

use serde_json::Value;

use super::fields::number_of;

/// Sunday first, as cron counts them.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FULL_NAMES: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

/// A weekday by its name; numbers mean Monday to some and Sunday to others.
pub(super) fn weekday(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    let names = DAYS.iter().zip(FULL_NAMES);
    let mut days = names.filter(|(short, full)| **short == text || *full == text);
    days.next().map(|(short, _)| *short)
}

/// Weekdays by their names: `mon, thu`.
pub(super) fn weekdays(value: &Value) -> Result<String, String> {
    days(value, weekday)
}

/// Weekdays by their names, or as cron counts them.
pub(super) fn cron_weekdays(value: &Value) -> Result<String, String> {
    let days = days(value, |word| {
        let number = word.trim().parse::<usize>().ok().filter(|it| *it <= 7);
        weekday(word).or_else(|| number.map(|it| DAYS[it % 7]))
    })?;
    Ok(days.replace(", ", ","))
}

fn days(value: &Value, day: impl Fn(&str) -> Option<&'static str>) -> Result<String, String> {
    let mut days = Vec::new();
    for value in each(value) {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        for word in text.split(',') {
            days.push(day(word).ok_or_else(|| format!("{value} is no weekday by name"))?);
        }
    }
    match days.is_empty() {
        true => Err("it names no day".to_owned()),
        false => Ok(days.join(", ")),
    }
}

/// Days of a month: `1, 15`, `last day`.
pub(super) fn month_days(value: &Value) -> Result<String, String> {
    let mut days = Vec::new();
    for value in each(value) {
        match (number_of(value), value.as_str(), value.as_i64()) {
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

/// These weekdays in these weeks of a month: `1st sun, 3rd sun`.
pub(super) fn nth_weekdays(weeks: &Value, days: &str) -> Result<String, String> {
    let mut parts = Vec::new();
    for week in each(weeks) {
        let text = week
            .as_str()
            .map_or_else(|| week.to_string(), str::to_owned);
        let nth = match text.trim().to_ascii_lowercase().as_str() {
            "1" | "first" | "1st" => "1st",
            "2" | "second" | "2nd" => "2nd",
            "3" | "third" | "3rd" => "3rd",
            "4" | "fourth" | "4th" => "4th",
            "5" | "fifth" | "5th" => "5th",
            "-1" | "last" => "last",
            _ => return Err(format!("{week} is no week of a month")),
        };
        parts.extend(days.split(", ").map(|day| format!("{nth} {day}")));
    }
    match parts.is_empty() {
        true => Err("it names no week".to_owned()),
        false => Ok(parts.join(", ")),
    }
}

/// One or several values as a list.
pub(super) fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        one => std::slice::from_ref(one),
    }
}

/// `1111100`, Monday to Sunday, or the same as a list.
pub(super) fn seven_bits(value: &Value) -> Result<String, String> {
    let bits: String = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(list) => list
            .iter()
            .map(|it| match (it.as_bool(), number_of(it)) {
                (Some(true), _) | (_, Some(1)) => '1',
                (Some(false), _) | (_, Some(0)) => '0',
                _ => '?',
            })
            .collect(),
        _ => String::new(),
    };
    if bits.len() != 7 || !bits.bytes().all(|it| matches!(it, b'0' | b'1')) {
        return Err(format!("{value} are not seven bits, Monday to Sunday"));
    }
    match bits.contains('1') {
        true => Ok(bits),
        false => Err(
            "no day is set: that program then runs every day at 02:00, which is hardly meant"
                .to_owned(),
        ),
    }
}

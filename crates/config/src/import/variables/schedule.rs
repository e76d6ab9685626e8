//! When a machine is backed up: what the program that wrote it does then, in our words.

use serde_json::Value;

use super::super::draft::Draft;
use super::fields::{Fields, number_of};
use super::week::{cron_weekdays, each, month_days, nth_weekdays, seven_bits, weekday, weekdays};

/// Other names for the same setting; of the first one that is there.
const FREQUENCY: [&str; 3] = ["frequency", "value", "pattern_name"];
const CRON: [&str; 3] = ["expression", "cron", "cron_expression"];
const DAYS: [&str; 5] = ["days", "weekdays", "day_of_week", "day", "weekday"];
const OF_MONTH: [&str; 3] = ["days_of_month", "day_of_month", "month_days"];
const WEEKS: [&str; 4] = ["weeks", "week_of_month", "nth", "week"];
const BITS: [&str; 4] = ["pattern", "days", "bits", "backup_policy"];
const TIMES: [&str; 4] = ["time", "times", "start_time", "backup_time"];
/// What that program does where nothing is said.
const USUAL_TIME: &str = "02:00";

/// A schedule in our words, and what people should know of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) words: String,
    pub(super) told: Option<String>,
}

impl Meant {
    fn told(self, told: &str) -> Self {
        let told = Some(told.to_owned());
        Self { told, ..self }
    }
}

impl From<String> for Meant {
    fn from(words: String) -> Self {
        let told = None;
        Self { words, told }
    }
}

type Understood = Result<Meant, String>;

/// One word, or nothing at all.
///
/// Errors, here and below: what is not understood, in words.
pub(super) fn of_word(word: &str, usual_time: Option<&str>) -> Understood {
    simple(
        &word.to_ascii_lowercase(),
        usual_time.unwrap_or(USUAL_TIME),
        (None, None),
    )
}

/// Seven bits, as the oldest files have them.
pub(super) fn of_bits(bits: &Value, usual_time: Option<&str>) -> Understood {
    let time = usual_time.unwrap_or(USUAL_TIME);
    Ok(format!("days {} {time}", seven_bits(bits)?).into())
}

/// A table.
pub(super) fn of_table(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    usual_time: Option<&str>,
) -> Understood {
    let times: Vec<_> = TIMES
        .iter()
        .flat_map(|name| fields.times(draft, name))
        .collect();
    let times = match times.is_empty() {
        true => usual_time.unwrap_or(USUAL_TIME).to_owned(),
        false => times.join(", "),
    };
    let sort = fields.text(draft, "type").map(|it| it.to_ascii_lowercase());
    let has_frequency = FREQUENCY.iter().any(|name| fields.has(name));
    match sort.as_deref() {
        Some("simple") if !has_frequency && fields.has("pattern") => pattern(fields, &times),
        Some("simple") | None if has_frequency => frequency(fields, &times),
        Some("legacy") | None => legacy(fields, &times),
        Some("custom") => {
            let bits = fields.take_first(&BITS);
            let bits = bits.ok_or("a schedule of type custom needs its seven days")?;
            Ok(format!("days {} {times}", seven_bits(bits)?).into())
        }
        Some("hourly") => hourly(fields, &times),
        Some("advanced") => advanced(fields, &times),
        Some("cron") => cron(fields),
        Some("simple") => Err("simple needs its pattern".to_owned()),
        Some(_) if has_frequency => Err("only simple has a frequency".to_owned()),
        Some(word) => worded(fields, word, &times),
    }
}

/// Without a type that program looks at the seven days alone.
fn legacy(fields: &mut Fields<'_>, times: &str) -> Understood {
    let has_type = fields.has("type");
    let Some(bits) = fields.take("backup_policy") else {
        let meant = Meant::from(format!("daily {times}"));
        return Ok(match has_type {
            true => meant,
            false => meant.told("the schedule has no type: that program runs every day then"),
        });
    };
    Ok(format!("days {} {times}", seven_bits(bits)?).into())
}

/// The simple words as that program takes them.
fn pattern(fields: &mut Fields<'_>, times: &str) -> Understood {
    let word = fields
        .text_if("pattern")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut day = || {
        fields
            .take_first(&DAYS)
            .map_or(Ok("sun".to_owned()), weekdays)
    };
    match word.as_str() {
        "weekly" => Ok(format!("weekly {} {times}", day()?).into()),
        "biweekly" => {
            let days = nth_weekdays(&serde_json::json!([1, 3]), &day()?)?;
            let told = "biweekly means the days 1 to 7 and 15 to 21 of a month to that program, \
                        and so does this: the first and the third such weekday";
            Ok(Meant::from(format!("monthly {days} {times}")).told(told))
        }
        "monthly" => {
            let days = fields
                .take_first(&OF_MONTH)
                .map_or(Ok("1".to_owned()), month_days)?;
            Ok(format!("monthly {days} {times}").into())
        }
        "daily" | "weekdays" | "weekends" => Ok(format!("{word} {times}").into()),
        _ => {
            let told = format!("{word:?} is no pattern: that program runs every day then");
            Ok(Meant::from(format!("daily {times}")).told(&told))
        }
    }
}

/// The simple words in another spelling.
fn frequency(fields: &mut Fields<'_>, times: &str) -> Understood {
    let word = fields.take_first(&FREQUENCY).and_then(Value::as_str);
    let word = word.ok_or("its frequency is no word")?.to_ascii_lowercase();
    worded(fields, &word, times)
}

fn worded(fields: &mut Fields<'_>, word: &str, times: &str) -> Understood {
    let has_days = matches!(word, "weekly" | "biweekly");
    let days = fields.take_first(if has_days { &DAYS } else { &[] });
    let of_month = fields.take_first(if word == "monthly" { &OF_MONTH } else { &[] });
    let meant = simple(word, times, (days, of_month))?;
    // What the word does not use would be lost, and nobody knows which of the two was meant.
    let groups: [&[&str]; 4] = [&DAYS, &OF_MONTH, &WEEKS, &CRON];
    let unused = [
        ("days of the week", days),
        ("days of the month", of_month),
        ("a week of the month", None),
        ("a cron expression", None),
    ];
    for (names, (what, used)) in groups.into_iter().zip(unused) {
        if used.is_none() && names.iter().any(|name| fields.has(name)) {
            return Err(format!("{word:?} has {what}"));
        }
    }
    Ok(meant)
}

fn simple(
    word: &str,
    times: &str,
    (days, of_month): (Option<&Value>, Option<&Value>),
) -> Understood {
    match word {
        "hourly" => Ok("hourly".to_owned().into()),
        "daily" | "weekdays" | "weekends" => Ok(format!("{word} {times}").into()),
        "weekly" | "biweekly" => {
            let days = days.map_or(Ok("sun".to_owned()), weekdays)?;
            Ok(format!("{word} {days} {times}").into())
        }
        "monthly" => {
            let days = of_month.map_or(Ok("1".to_owned()), month_days)?;
            Ok(format!("monthly {days} {times}").into())
        }
        _ => Err(format!(
            "{word:?} is none of legacy, simple, hourly, advanced, cron, custom, daily, weekdays, \
             weekends, weekly, biweekly and monthly"
        )),
    }
}

/// Every so many hours of a part of the day, at the minute of the time.
fn hourly(fields: &mut Fields<'_>, times: &str) -> Understood {
    let mut number = |name: &str, usual: u32, max: u32| match fields.take(name) {
        None => Ok(usual),
        Some(value) => number_of(value)
            .filter(|number| *number <= max)
            .ok_or_else(|| format!("{name}: {value} is no number of hours")),
    };
    let interval = number("interval", 1, 24)?;
    let (first, last) = (number("start_hour", 0, 23)?, number("end_hour", 23, 23)?);
    if first > last || interval == 0 {
        return Err("no hour is in it".to_owned());
    }
    let days = fields.take("days").filter(|it| !each(it).is_empty());
    let days = days.map_or(Ok("*".to_owned()), cron_weekdays)?;
    let minute = times.get(3..5).unwrap_or_default();
    let minute: u32 = minute.parse().map_err(|_| "it has no minute".to_owned())?;
    let hours = match interval {
        1 => format!("{first}-{last}"),
        interval => format!("{first}-{last}/{interval}"),
    };
    Ok(match (interval, first, last, days.as_str()) {
        (1, 0, 23, "*") => format!("hourly :{minute:02}"),
        _ => format!("cron {minute} {hours} * * {days}"),
    }
    .into())
}

/// Weekdays in weeks of a month, or days of it.
fn advanced(fields: &mut Fields<'_>, times: &str) -> Understood {
    let pattern = fields.text_if("pattern").map(|it| it.to_ascii_lowercase());
    if let Some(word) = pattern.filter(|it| it != "monthly") {
        return Err(format!("advanced has no pattern {word:?}"));
    }
    if let Some(weeks) = fields.take_first(&WEEKS) {
        let day = fields.take_first(&["day", "weekday", "day_of_week", "weekdays"]);
        let by_name = |value: &&Value| each(value).iter().all(|it| number_of(it).is_none());
        let named = fields.map.get("days").filter(by_name);
        let days = match (day, named) {
            (Some(day), _) => weekdays(day)?,
            (None, Some(days)) => {
                fields.take("days");
                weekdays(days)?
            }
            (None, None) => "sun".to_owned(),
        };
        return Ok(format!("monthly {} {times}", nth_weekdays(weeks, &days)?).into());
    }
    let of_month = fields.take_first(&OF_MONTH);
    let days = fields.take_first(&DAYS);
    match (of_month, days) {
        (Some(_), Some(_)) => Err("it has days of the week and of the month".to_owned()),
        (Some(days), None) => Ok(format!("monthly {} {times}", month_days(days)?).into()),
        (None, Some(days)) => {
            let is_name = |it: &Value| it.as_str().is_some_and(|it| weekday(it).is_some());
            match each(days).iter().any(is_name) {
                true => Ok(format!("weekly {} {times}", weekdays(days)?).into()),
                false => Ok(format!("monthly {} {times}", month_days(days)?).into()),
            }
        }
        (None, None) => Ok(format!("monthly 1 {times}").into()),
    }
}

/// Five fields, or a word with an @.
fn cron(fields: &mut Fields<'_>) -> Understood {
    let text = fields.take_first(&CRON).and_then(Value::as_str);
    let text = text.map(str::trim).filter(|it| !it.is_empty());
    let text = text.ok_or("a schedule of type cron needs its expression")?;
    let parts: Vec<_> = text.split_whitespace().collect();
    match parts.as_slice() {
        ["@quarterly"] => Ok("cron 0 0 1 1,4,7,10 *".to_owned().into()),
        [_, _, day, _, weekday] => {
            let meant = Meant::from(format!("cron {text}"));
            let is_stepped = |field: &str| field.starts_with("*/");
            let is_unclear =
                is_stepped(day) && *weekday != "*" || is_stepped(weekday) && *day != "*";
            Ok(match is_unclear {
                true => meant
                    .told("programs differ in */N beside another day: a day must fit both here"),
                false => meant,
            })
        }
        [word] if word.starts_with('@') => Ok(format!("cron {word}").into()),
        _ => Err("a cron expression has five fields here; where seconds stand differs".to_owned()),
    }
}

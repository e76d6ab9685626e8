//! The five fields of cron, or six with seconds in front.
//!
//! Days: where both the day of the month and the weekday are restricted, a day fits by either,
//! as POSIX says. Beyond POSIX: names, `*/5`, `@daily`, `L` (last day), `FRI#2`, `5L` (last
//! Friday); Sunday is 0 or 7.

use lifeboat_model::ParseError;

use super::field::{Field, number};
use super::rule::{Days, Rule, Times};
use super::simple::weekday;

const FORM: &str = "write minute hour day month weekday, as in 30 2 * * 1-5";
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads the fields.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>, ParseError> {
    let lower = text.to_ascii_lowercase();
    let words = nickname(&lower).unwrap_or(&lower);
    let rule = fields(words).ok_or_else(|| ParseError::new("cron schedule", text, FORM))?;
    Ok(vec![rule])
}

fn nickname(text: &str) -> Option<&'static str> {
    let known = [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ];
    let found = known.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, fields)| fields)
}

fn fields(text: &str) -> Option<Rule> {
    let fields: Vec<_> = text.split(' ').collect();
    let (second, fields) = match fields.as_slice() {
        [second, rest @ ..] if rest.len() == 5 => (*second, rest),
        rest => ("0", rest),
    };
    let [minute, hour, day, month, week] = fields else {
        return None;
    };
    let times = Times {
        seconds: set(second, (0, 59), number)?,
        minutes: set(minute, (0, 59), number)?,
        hours: set(hour, (0, 23), number)? as u32,
    };
    let mut days = Days {
        months: set(month, (1, 12), month_number)? as u16,
        // vixie cron: a field that begins with a star restricts nothing.
        is_either: !(is_star(day) || is_star(week)),
        ..Days::EVERY
    };
    days_of_month(day, &mut days)?;
    days_of_week(week, &mut days)?;
    Some(Rule { days, times })
}

fn is_star(field: &str) -> bool {
    field.starts_with(['*', '?'])
}

fn days_of_month(field: &str, days: &mut Days) -> Option<()> {
    days.of_month = 0;
    for part in field.split(',') {
        match part {
            "l" => days.from_end |= 1 << 1,
            part => days.of_month |= set(part, (1, 31), number)? as u32,
        }
    }
    Some(())
}

fn days_of_week(field: &str, days: &mut Days) -> Option<()> {
    let mut bits = 0;
    for part in field.split(',') {
        if let Some((day, nth)) = part.split_once('#') {
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth))?;
            days.nth.push((of_number(week_number(day)?), nth));
        } else if let Some(day) = part.strip_suffix('l').filter(|day| !day.is_empty()) {
            days.nth.push((of_number(week_number(day)?), -1));
        } else {
            bits |= set(part, (0, 7), week_number)?;
        }
    }
    // From Sunday as 0 and 7 to Monday as bit 0.
    days.weekdays = ((bits >> 1 | bits << 6) & 0x7f) as u8;
    Some(())
}

fn of_number(number: u32) -> jiff::civil::Weekday {
    let zero = (number % 7) as i8;
    jiff::civil::Weekday::from_sunday_zero_offset(zero).unwrap_or(jiff::civil::Weekday::Sunday)
}

fn month_number(text: &str) -> Option<u32> {
    let named = MONTHS.iter().position(|month| *month == text);
    named
        .and_then(|index| u32::try_from(index + 1).ok())
        .or_else(|| number(text))
}

fn week_number(text: &str) -> Option<u32> {
    match weekday(text) {
        Some(day) => u32::try_from(day.to_sunday_zero_offset()).ok(),
        None => number(text).filter(|number| *number <= 7),
    }
}

fn set(text: &str, (low, high): (u32, u32), value: fn(&str) -> Option<u32>) -> Option<u64> {
    let range = "-";
    let field = Field {
        low,
        high,
        range,
        value,
    };
    field.bits(text)
}

//! Calendar events as `systemd.time` writes them: `Mon..Fri *-*-* 02:00`, `*-*~1 23:30`, `weekly`.

use jiff::tz::TimeZone;
use lifeboat_model::ParseError;

use super::field::{Field, number};
use super::rule::{Days, Rule, Times, Years};
use super::simple::weekday;

const FORM: &str = "write a calendar event as systemd has them: weekdays, date and time, as in \
                    Mon..Fri *-*-* 02:00:00; fractions of seconds are not known";
/// Years of `2026/2` end here.
const YEAR_MAX: i16 = 2199;

/// Reads an event, and the zone at its end if there is one.
pub(super) fn parse(text: &str) -> Result<(Vec<Rule>, Option<TimeZone>), ParseError> {
    let wrong = || ParseError::new("calendar event", text, FORM);
    let mut words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let zone = words.last().and_then(|last| zone_of(last));
    if zone.is_some() {
        words.pop();
    }
    let expanded = match words.as_slice() {
        [name] => shorthand(&name.to_ascii_lowercase()),
        _ => None,
    };
    if let Some(expanded) = expanded {
        words = expanded.split(' ').collect();
    }
    let rule = event(&words).ok_or_else(wrong)?;
    Ok((vec![rule], zone))
}

fn zone_of(word: &str) -> Option<TimeZone> {
    if word == "UTC" {
        return Some(TimeZone::UTC);
    }
    let is_name = word.contains('/') && word.starts_with(|it: char| it.is_ascii_alphabetic());
    is_name.then(|| TimeZone::get(word).ok())?
}

fn shorthand(name: &str) -> Option<&'static str> {
    let known = [
        ("minutely", "*-*-* *:*:00"),
        ("hourly", "*-*-* *:00:00"),
        ("daily", "*-*-* 00:00:00"),
        ("monthly", "*-*-01 00:00:00"),
        ("weekly", "Mon *-*-* 00:00:00"),
        ("yearly", "*-01-01 00:00:00"),
        ("annually", "*-01-01 00:00:00"),
        ("quarterly", "*-01,04,07,10-01 00:00:00"),
        ("semiannually", "*-01,07-01 00:00:00"),
    ];
    let found = known.into_iter().find(|(word, _)| *word == name);
    found.map(|(_, event)| event)
}

fn event(words: &[&str]) -> Option<Rule> {
    let (days_of_week, rest) = match words {
        [first, rest @ ..] if first.starts_with(|it: char| it.is_ascii_alphabetic()) => {
            (weekdays(first)?, rest)
        }
        rest => (0x7f, rest),
    };
    let (date, time) = match rest {
        [] if days_of_week != 0x7f => ("*-*-*", "00:00:00"),
        [time] if time.contains(':') => ("*-*-*", *time),
        [date] => (*date, "00:00:00"),
        [date, time] => (*date, *time),
        _ => return None,
    };
    let days = Days {
        weekdays: days_of_week,
        ..days(date)?
    };
    let times = times(time)?;
    Some(Rule { days, times })
}

/// `Mon..Fri`, `Mon,Wed,Fri..Sun`.
fn weekdays(text: &str) -> Option<u8> {
    let mut bits = 0;
    for part in text.trim_end_matches(',').split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let [first, last] = [first, last].map(|name| Some(weekday(name)?.to_monday_zero_offset()));
        let (first, last) = (first?, last?);
        let mut day = first;
        loop {
            bits |= 1 << day;
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Some(bits)
}

fn days(text: &str) -> Option<Days> {
    let (front, day, is_from_end) = match text.rsplit_once('~') {
        Some((front, day)) => (front, day, true),
        None => {
            let (front, day) = text.rsplit_once('-')?;
            (front, day, false)
        }
    };
    let (year, month) = front.split_once('-').unwrap_or(("*", front));
    let bits = match is_from_end {
        // `~7/1`: from the seventh last day to the last.
        true => from_end(day)?,
        false => set(day, (1, 31))? as u32,
    };
    Some(Days {
        years: years(year)?,
        months: set(month, (1, 12))? as u16,
        of_month: if is_from_end { 0 } else { bits },
        from_end: if is_from_end { bits } else { 0 },
        ..Days::EVERY
    })
}

fn from_end(text: &str) -> Option<u32> {
    let mut bits = 0;
    for part in text.split(',') {
        let (first, step) = part.split_once('/').unwrap_or((part, ""));
        let first = number(first).filter(|it| (1..=31).contains(it))?;
        let step = match step {
            "" => first,
            step => number(step).filter(|step| *step > 0)?,
        };
        let mut day = i64::from(first);
        while day > 0 {
            bits |= 1 << day;
            day -= i64::from(step);
        }
    }
    Some(bits)
}

fn years(text: &str) -> Option<Vec<Years>> {
    if text == "*" {
        return Some(Vec::new());
    }
    let year = |text: &str| -> Option<i16> {
        let year: i16 = text.parse().ok()?;
        (1970..=YEAR_MAX).contains(&year).then_some(year)
    };
    let each = text.split(',').map(|part| {
        let (range, step) = part.split_once('/').unwrap_or((part, ""));
        let (first, last) = match range.split_once("..") {
            Some((first, last)) => (year(first)?, year(last)?),
            None if step.is_empty() => (year(range)?, year(range)?),
            None => (year(range)?, YEAR_MAX),
        };
        let step = match step {
            "" => 1,
            step => step.parse().ok().filter(|step| *step > 0)?,
        };
        (first <= last).then_some(Years { first, last, step })
    });
    each.collect()
}

fn times(text: &str) -> Option<Times> {
    let parts: Vec<_> = text.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, "00"),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    Some(Times {
        hours: set(hour, (0, 23))? as u32,
        minutes: set(minute, (0, 59))?,
        seconds: set(second, (0, 59))?,
    })
}

fn set(text: &str, (low, high): (u32, u32)) -> Option<u64> {
    let (range, value) = ("..", number);
    let field = Field {
        low,
        high,
        range,
        value,
    };
    field.bits(text).filter(|_| !text.contains('?'))
}

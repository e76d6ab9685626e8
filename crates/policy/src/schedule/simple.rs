//! Schedules in plain words.

use jiff::civil::{Date, Time, Weekday, date};
use lifeboat_model::ParseError;

use super::Blackout;
use super::rule::{Days, Rule, Times};

/// Weeks of `biweekly` are counted from here, a Monday, unless the text says from where.
const WEEKS_FROM: Date = date(2024, 1, 1);
const WORKING_DAYS: u8 = 0b001_1111;
const WEEKEND: u8 = 0b110_0000;

const FORMS: &str = "write hourly, every, daily, weekdays, weekends, weekly, biweekly, \
                     monthly, days, cron or calendar in front, as in daily 02:00, cron 0 2 * * 1-5";
const TIMES: &str = "after the days come times from 00:00 to 23:59, as in 02:00 or 02:00, 14:00";
const HOURLY: &str = "write hourly alone, or with its minute, :00 to :59, as in hourly :15";
const EVERY: &str = "write minutes that divide an hour or hours that divide a day: 1m, 2m, 3m, 4m, \
                     5m, 6m, 10m, 12m, 15m, 20m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h";
const WEEKLY: &str =
    "write days of the week and times, as in weekly sun 03:00 or weekly mon, thu 03:00";
const BIWEEKLY: &str = "write days of the week, perhaps a first week, and times, as in \
                        biweekly sun 03:00 or biweekly sun from 2026-01-04 03:00";
const MONTHLY: &str = "write days of the month and times, as in monthly 1, 15 02:00, \
                       monthly last day 02:00 or monthly 2nd tue 02:00";
const DAYS: &str = "write seven bits for Monday to Sunday, at least one of them 1, and times, as \
                    in days 1111100 02:00";

/// Reads one of the forms; what is said of a wrong one is about its own part.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>, ParseError> {
    let wrong = |rule| ParseError::new("schedule", text, rule);
    let lower = text.to_ascii_lowercase();
    let (form, rest) = lower.split_once(' ').unwrap_or((&lower, ""));
    let every_week = |bits| (Some(on(bits)), rest);
    let ((days, times), rule) = match form {
        "hourly" => return hourly(rest).ok_or_else(|| wrong(HOURLY)),
        "every" => return every(rest).ok_or_else(|| wrong(EVERY)),
        "daily" => ((Some(Days::EVERY), rest), FORMS),
        "weekdays" => (every_week(WORKING_DAYS), FORMS),
        "weekends" => (every_week(WEEKEND), FORMS),
        "weekly" => (split(rest, |words| weekdays(words).map(on)), WEEKLY),
        "biweekly" => (split(rest, biweekly), BIWEEKLY),
        "monthly" => (split(rest, monthly), MONTHLY),
        "days" => (split(rest, |words| bits(words).map(on)), DAYS),
        _ => ((None, rest), FORMS),
    };
    let days = days.ok_or_else(|| wrong(rule))?;
    let times = times_of(times).ok_or_else(|| wrong(TIMES))?;
    let rule = |times| Rule {
        days: days.clone(),
        times,
    };
    Ok(times.into_iter().map(rule).collect())
}

fn on(weekdays: u8) -> Days {
    Days {
        weekdays,
        ..Days::EVERY
    }
}

/// The days before the first time of day, and the times.
fn split(text: &str, days: impl Fn(&str) -> Option<Days>) -> (Option<Days>, &str) {
    let end = text.find(':').and_then(|colon| text[..colon].rfind(' '));
    match end {
        Some(end) => {
            let words = text[..end].trim();
            (
                days(words.strip_suffix(" at").unwrap_or(words)),
                &text[end + 1..],
            )
        }
        None => (None, text),
    }
}

fn times_of(text: &str) -> Option<Vec<Times>> {
    let text = text.strip_prefix("at ").unwrap_or(text);
    let times = text.split(',').map(|word| time_of(word.trim()));
    times.collect()
}

/// `02:00`, as the 24 hours have it.
fn time_of(text: &str) -> Option<Times> {
    let mut parts = text.split(':');
    let mut number = |max: i8| {
        let part = parts.next()?;
        let is_digits = matches!(part.len(), 1 | 2) && part.bytes().all(|it| it.is_ascii_digit());
        let number: i8 = is_digits.then(|| part.parse().ok())??;
        (number <= max).then_some(number)
    };
    let (hour, minute) = (number(23)?, number(59)?);
    let second = if text.matches(':').count() > 1 {
        number(59)?
    } else {
        0
    };
    let is_over = parts.next().is_none();
    is_over.then(|| Times::at(hour, minute, second))
}

/// `22:00-04:00` on some days, or on every one.
pub(super) fn blackout(text: &str) -> Option<Blackout> {
    let text = text.trim().to_ascii_lowercase();
    let (days, span) = text.rsplit_once(' ').unwrap_or(("daily", &text));
    let weekdays = days_of_week(days.trim())?;
    let (from, to) = span.split_once('-')?;
    let time = |text| time_of(text)?.first(Time::midnight());
    let (from, to) = (time(from)?, time(to)?);
    Some(Blackout { weekdays, from, to })
}

/// At the full hour, or `:15` past it.
fn hourly(text: &str) -> Option<Vec<Rule>> {
    let minute = match text {
        "" => 0,
        text => text.strip_prefix(':')?.parse::<u32>().ok()?,
    };
    let times = Times {
        hours: (1 << 24) - 1,
        minutes: 1u64.checked_shl(minute).filter(|_| minute < 60)?,
        seconds: 1,
    };
    Some(vec![Rule {
        days: Days::EVERY,
        times,
    }])
}

/// `15m` or `4h`: parts of an hour or a day without rest, from its beginning.
fn every(text: &str) -> Option<Vec<Rule>> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let step: u32 = number.parse().ok()?;
    let (hours, minutes) = match unit {
        "m" if (1..60).contains(&step) && 60 % step == 0 => ((1 << 24) - 1, stepped(60, step)),
        "h" if (1..24).contains(&step) && 24 % step == 0 => (stepped(24, step) as u32, 1),
        _ => return None,
    };
    let times = Times {
        hours,
        minutes,
        seconds: 1,
    };
    Some(vec![Rule {
        days: Days::EVERY,
        times,
    }])
}

fn stepped(end: u32, step: u32) -> u64 {
    (0..end).step_by(step as usize).map(|bit| 1u64 << bit).sum()
}

/// Seven digits for Monday to Sunday.
fn bits(text: &str) -> Option<u8> {
    let is_bits = text.len() == 7 && text.bytes().all(|it| matches!(it, b'0' | b'1'));
    let days = text.bytes().enumerate().filter(|(_, it)| *it == b'1');
    let bits = is_bits.then(|| days.map(|(day, _)| 1 << day).sum())?;
    (bits != 0).then_some(bits)
}

/// Days of the week as bits, Monday first: `daily`, `weekdays`, `sun`, `mon, thu`, `1111100`.
pub(super) fn days_of_week(text: &str) -> Option<u8> {
    match text {
        "daily" => Some(0x7f),
        "weekdays" => Some(WORKING_DAYS),
        "weekends" => Some(WEEKEND),
        text => bits(text).or_else(|| weekdays(text)),
    }
}

/// `sun`, or `mon, thu`.
fn weekdays(text: &str) -> Option<u8> {
    let mut bits = 0;
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        bits |= 1 << weekday(word)?.to_monday_zero_offset();
    }
    (bits != 0).then_some(bits)
}

/// A weekday by its name or its first three letters.
pub(super) fn weekday(text: &str) -> Option<Weekday> {
    let names = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let text = text.to_ascii_lowercase();
    let is_it = |name: &str| text == name || text == name[..3];
    let found = names.into_iter().find(|(name, _)| is_it(name));
    found.map(|(_, weekday)| weekday)
}

/// `sun`, and perhaps `from 2026-01-04`.
fn biweekly(text: &str) -> Option<Days> {
    let (days, from) = match text.split_once(" from ") {
        Some((days, from)) => (days, from.trim().parse().ok()?),
        None => (text, WEEKS_FROM),
    };
    Some(Days {
        weeks: Some((2, from)),
        ..on(weekdays(days)?)
    })
}

/// `1`, `1, 15`, `last day`, `2nd tue`, `last fri`, and several of them.
fn monthly(text: &str) -> Option<Days> {
    let mut days = Days {
        of_month: 0,
        weekdays: 0,
        is_either: true,
        ..Days::EVERY
    };
    for part in text.split(',').map(str::trim) {
        let words: Vec<_> = part.split(' ').collect();
        match words.as_slice() {
            ["last"] | ["last", "day"] => days.from_end |= 1 << 1,
            [number] => {
                let number: u32 = number.parse().ok()?;
                days.of_month |= (1..=31).contains(&number).then(|| 1 << number)?;
            }
            [nth, name] => days.nth.push((weekday(name)?, nth_of(nth)?)),
            _ => return None,
        }
    }
    Some(days)
}

fn nth_of(text: &str) -> Option<i8> {
    let known = [
        ("1st", 1),
        ("2nd", 2),
        ("3rd", 3),
        ("4th", 4),
        ("5th", 5),
        ("first", 1),
        ("second", 2),
        ("third", 3),
        ("fourth", 4),
        ("last", -1),
    ];
    let found = known.into_iter().find(|(word, _)| *word == text);
    found.map(|(_, nth)| nth)
}

//! Every way to write a schedule gives the moments that it says, and nonsense is refused.

use std::process::Command;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use lifeboat_policy::Schedule;
use lifeboat_testkit::{Effort, SeededEntropy, tool};
use proptest::prelude::*;

const FORMS: [&str; 9] = [
    "weekly", "monthly", "days", "every", "hourly", "cron", "calendar", "daily", "biweekly",
];

/// The zone of all moments here.
static UTC: TimeZone = TimeZone::UTC;

fn moment(text: &str) -> Timestamp {
    let local: DateTime = text.parse().unwrap();
    TimeZone::UTC.to_timestamp(local).unwrap()
}

fn written(moment: Timestamp) -> String {
    TimeZone::UTC
        .to_datetime(moment)
        .strftime("%a %Y-%m-%d %H:%M:%S")
        .to_string()
}

fn first(text: &str, count: usize) -> Vec<String> {
    let schedule: Schedule = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    // A Wednesday.
    let moments = schedule.after(moment("2026-01-28T12:00"), &UTC).take(count);
    let mut shown: Vec<_> = moments.map(written).collect();
    for text in &mut shown {
        *text = text.trim_end_matches(":00").to_owned();
    }
    shown
}

/// Each with its first moments after noon of Wednesday, January 28, 2026.
const PLAIN: [(&str, &[&str]); 17] = [
    ("daily 02:00", &["Thu 2026-01-29 02", "Fri 2026-01-30 02"]),
    (
        "daily 14:30, 02:00",
        &["Wed 2026-01-28 14:30", "Thu 2026-01-29 02"],
    ),
    (
        "weekdays 22:15",
        &[
            "Wed 2026-01-28 22:15",
            "Thu 2026-01-29 22:15",
            "Fri 2026-01-30 22:15",
            "Mon 2026-02-02 22:15",
        ],
    ),
    (
        "weekends at 3:05",
        &[
            "Sat 2026-01-31 03:05",
            "Sun 2026-02-01 03:05",
            "Sat 2026-02-07 03:05",
        ],
    ),
    (
        "weekly sun 03:00",
        &["Sun 2026-02-01 03", "Sun 2026-02-08 03"],
    ),
    (
        "weekly Monday, thu 03:00",
        &["Thu 2026-01-29 03", "Mon 2026-02-02 03"],
    ),
    (
        "biweekly sun 03:00",
        &["Sun 2026-02-01 03", "Sun 2026-02-15 03"],
    ),
    (
        "biweekly sun from 2026-02-08 03:00",
        &["Sun 2026-02-08 03", "Sun 2026-02-22 03"],
    ),
    (
        "monthly 1, 15 04:00",
        &[
            "Sun 2026-02-01 04",
            "Sun 2026-02-15 04",
            "Sun 2026-03-01 04",
        ],
    ),
    (
        "monthly 31 04:00",
        &["Sat 2026-01-31 04", "Tue 2026-03-31 04"],
    ),
    (
        "monthly last day 23:59:59",
        &["Sat 2026-01-31 23:59:59", "Sat 2026-02-28 23:59:59"],
    ),
    (
        "monthly 2nd tue 05:00",
        &["Tue 2026-02-10 05", "Tue 2026-03-10 05"],
    ),
    (
        "monthly last fri, 1 22:00",
        &[
            "Fri 2026-01-30 22",
            "Sun 2026-02-01 22",
            "Fri 2026-02-27 22",
        ],
    ),
    ("hourly", &["Wed 2026-01-28 13", "Wed 2026-01-28 14"]),
    (
        "hourly :20",
        &["Wed 2026-01-28 12:20", "Wed 2026-01-28 13:20"],
    ),
    (
        "every 15m",
        &["Wed 2026-01-28 12:15", "Wed 2026-01-28 12:30"],
    ),
    (
        "days 1000001 02:00",
        &[
            "Sun 2026-02-01 02",
            "Mon 2026-02-02 02",
            "Sun 2026-02-08 02",
        ],
    ),
];

#[test]
fn a_mistake_is_told_by_the_rule_of_its_own_form() {
    for (text, rule) in [
        ("every 7m", "minutes that divide an hour"),
        ("every 15", "minutes that divide an hour"),
        ("hourly :75", ":00 to :59"),
        ("daily 24:00", "times from 00:00 to 23:59"),
        ("weekly sun 3", "days of the week and times"),
        ("weekly sunn 03:00", "days of the week and times"),
        ("biweekly sun from 2026 03:00", "perhaps a first week"),
        ("monthly 32 02:00", "days of the month and times"),
        ("days 0000000 02:00", "at least one of them 1"),
        ("dayly 02:00", "write hourly, every, daily"),
        ("cron 0 2 * *", "minute hour day month weekday"),
    ] {
        let told = text.parse::<Schedule>().unwrap_err().to_string();
        assert!(told.contains(rule) && told.len() < 220, "{told}");
    }
    let told = lifeboat_policy::parse_weekdays("sonntag")
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("\"sonntag\" is not a list of weekdays: "),
        "{told}"
    );
}

#[test]
fn in_plain_words() {
    for (text, expected) in PLAIN {
        let expected: Vec<_> = expected
            .iter()
            .map(|it| {
                if it.len() == 17 {
                    format!("{it}:00")
                } else {
                    (*it).to_owned()
                }
            })
            .map(|it| it.trim_end_matches(":00").to_owned())
            .collect();
        assert_eq!(first(text, expected.len()), expected, "{text}");
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_the_forms() {
    let cases = [
        "",
        "daily",
        "daily 24:00",
        "daily 2",
        "daily 02:60",
        "daily 02:00,",
        "weekly 03:00",
        "weekly someday 03:00",
        "monthly 0 02:00",
        "monthly 32 02:00",
        "monthly 6th tue 02:00",
        "days 0000000 02:00",
        "days 11111 02:00",
        "days \"'=+*/- 02:00",
        "every 7m",
        "every 0m",
        "every 25h",
        "every",
        "hourly :60",
        "cron * * * *",
        "cron 60 * * * *",
        "cron 5-1 * * * *",
        "cron * * 0 * *",
        "cron * * * 13 *",
        "cron * * * * 8",
        "cron */0 * * * *",
        "cron mon * * * *",
        "calendar",
        "calendar Mon..Foo",
        "calendar 25:00",
        "calendar *-13-01",
        "calendar *-*-32",
        "calendar *-*-* 02:00:00.5",
        "calendar 2026-*",
        "whenever",
        "biweekly sun from now 02:00",
    ];
    for text in cases {
        let refused = text.parse::<Schedule>();
        let error = refused.expect_err(text).to_string();
        let (_, rule) = error.split_once(": ").expect(&error);
        assert!(!rule.is_empty() && rule.len() < 200, "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_read_or_refused(
        form in prop::sample::select(&FORMS[..]),
        rest in "[ 0-9a-z:,#~/.*@L\"=-]{0,24}",
    ) {
        if let Ok(schedule) = format!("{form} {rest}").parse::<Schedule>() {
            let next = schedule.next(moment("2026-01-28T12:00"), &UTC);
            prop_assert!(next.is_none_or(|next| next > moment("2026-01-28T12:00")));
        }
    }
}

#[test]
fn a_day_that_never_comes_is_none() {
    let schedule: Schedule = "cron 0 0 30 2 *".parse().unwrap();
    assert_eq!(schedule.next(moment("2026-01-01T00:00"), &UTC), None);
    let leap: Schedule = "cron 0 0 29 2 1".parse().unwrap();
    assert!(leap.next(moment("2026-01-01T00:00"), &UTC).is_some());
}

/// One field of cron and the numbers that it means, made together.
fn field(dice: &SeededEntropy, low: u64, high: u64) -> (String, Vec<u64>) {
    let any = || low + dice.below(high - low + 1);
    match dice.below(6) {
        0 | 1 => ("*".to_owned(), (low..=high).collect()),
        2 => {
            let step = 1 + dice.below(high - low);
            (
                format!("*/{step}"),
                (low..=high).step_by(step as usize).collect(),
            )
        }
        3 => {
            let (a, b) = (any(), any());
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}"), (a..=b).collect())
        }
        4 => {
            let (a, b) = (any(), any());
            (format!("{a},{b}"), vec![a, b])
        }
        _ => {
            let a = any();
            (a.to_string(), vec![a])
        }
    }
}

#[test]
fn cron_fields_give_every_minute_that_fits_and_no_other() {
    let dice = SeededEntropy::new(7);
    for case in 0..Effort::current().pick(60, 3_000) {
        let (minute, minutes) = field(&dice, 0, 59);
        let (hour, hours) = field(&dice, 0, 23);
        let (day, days) = field(&dice, 1, 31);
        let (month, months) = field(&dice, 1, 12);
        let (week, weekdays) = field(&dice, 0, 6);
        let text = format!("cron {minute} {hour} {day} {month} {week}");
        let schedule: Schedule = text.parse().unwrap();
        let is_either = !day.starts_with('*') && !week.starts_with('*');
        let start: DateTime = "2026-01-01T00:00".parse().unwrap();
        let start = start.checked_add((dice.below(1500) as i64).days()).unwrap();
        let fits = |local: &DateTime| {
            let number = days.contains(&(local.day() as u64));
            let weekday = local.date().weekday().to_sunday_zero_offset() as u64;
            let weekday = weekdays.contains(&weekday);
            let is_day = if is_either {
                number || weekday
            } else {
                number && weekday
            };
            is_day
                && minutes.contains(&(local.minute() as u64))
                && hours.contains(&(local.hour() as u64))
                && months.contains(&(local.month() as u64))
        };
        let all = (1..=40 * 1440).map(|minute: i64| start.checked_add(minute.minutes()).unwrap());
        let expected: Vec<_> = all.filter(fits).take(500).collect();
        let from = TimeZone::UTC.to_timestamp(start).unwrap();
        let found = schedule.after(from, &UTC).take(expected.len());
        let found: Vec<_> = found.map(|it| TimeZone::UTC.to_datetime(it)).collect();
        assert_eq!(found, expected, "case {case}: {text}");
    }
}

/// A calendar event made of parts that both sides should know.
fn event(dice: &SeededEntropy) -> String {
    let one = |of: &[&str]| of[dice.below(of.len() as u64) as usize].to_owned();
    let week = one(&["", "", "Mon..Fri ", "Sat,Sun ", "Wed ", "Tue..Thu "]);
    let year = one(&["*", "*", "2026..2028", "2027", "2026/2"]);
    let month = one(&["*", "*", "02", "1,7", "3..9", "1/3"]);
    let day = one(&[
        "-*", "-*", "-15", "-1..7", "-10/5", "~1", "~7/1", "-31", "~3",
    ]);
    let time = one(&[
        "02:00",
        "*:0/15",
        "0/6:30",
        "8..17:00:30",
        "23:59:59",
        "1,13:10..12",
    ]);
    format!("{week}{year}-{month}{day} {time} UTC")
}

#[test]
fn calendar_events_agree_with_systemd() {
    let Some(program) = tool("systemd-analyze") else {
        return;
    };
    let dice = SeededEntropy::new(11);
    let mut events: Vec<_> = (0..Effort::current().pick(60, 2_000))
        .map(|_| event(&dice))
        .collect();
    let names = [
        "minutely",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "quarterly",
        "yearly",
    ];
    events.extend(names.map(|name| format!("{name} UTC")));
    events.extend(["Fri UTC", "04:05 UTC", "2026-12-24 UTC"].map(str::to_owned));
    for text in events {
        let mut command = Command::new(&program);
        command.args([
            "calendar",
            "--iterations=12",
            "--base-time=2026-02-11 10:20:00 UTC",
            &text,
        ]);
        let output = command
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert!(output.status.success(), "{text}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let is_moment = |line: &&str| line.contains("Next elapse:") || line.contains("Iter. #");
        let moments = said
            .lines()
            .filter(is_moment)
            .filter_map(|line| line.split_once(": "));
        let expected: Vec<_> = moments
            .filter(|(_, moment)| *moment != "never")
            .map(|(_, moment)| moment.trim().trim_end_matches(" UTC").to_owned())
            .collect();
        let schedule: Schedule = format!("calendar {text}").parse().unwrap();
        let found = schedule.after(moment("2026-02-11T10:20"), &UTC);
        let found: Vec<_> = found.take(12).map(written).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_zone_in_an_event_counts() {
    let schedule: Schedule = "calendar *-*-* 02:00 Asia/Tokyo".parse().unwrap();
    let next = schedule.next(moment("2026-01-28T12:00"), &UTC).unwrap();
    assert_eq!(written(next), "Wed 2026-01-28 17:00:00");
    let weekday = TimeZone::UTC.to_datetime(next).date().weekday();
    assert_eq!(weekday, Weekday::Wednesday);
}

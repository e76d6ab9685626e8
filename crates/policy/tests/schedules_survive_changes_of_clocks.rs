//! Over ten years of clocks that are put forward and back, every run comes, once, when it should.

use jiff::civil::{Time, date, time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use lifeboat_policy::Schedule;
use proptest::prelude::*;

/// Clocks that change at two in the morning, at midnight, by half an hour, in the other half of
/// the year, not at all, and by skipping a whole day (2011).
const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kolkata",
    "UTC",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// Ten years, beginning in 2008: most rules of clocks above changed since.
fn years(first: i16, zone: &TimeZone) -> (Timestamp, Timestamp) {
    let at = |year| zone.to_timestamp(date(year, 1, 1).at(0, 0, 0, 0)).unwrap();
    (at(first), at(first + 10))
}

/// The one moment of a day at which a run of a fixed time is right.
fn right(day: jiff::civil::Date, at: Time, zone: &TimeZone) -> Timestamp {
    let local = day.to_datetime(at);
    match zone.to_ambiguous_timestamp(local).offset() {
        // The first minute that is on the clock again.
        AmbiguousOffset::Gap { .. } => {
            let minutes =
                (0..=1440).map(|minute: i64| local.checked_add(minute.minutes()).unwrap());
            let mut real =
                minutes.filter(|local| !zone.to_ambiguous_timestamp(*local).is_ambiguous());
            let after = zone.to_timestamp(real.next().unwrap()).unwrap();
            let minute = after.as_second().div_euclid(60) * 60;
            Timestamp::from_second(minute).unwrap()
        }
        _ => zone.to_ambiguous_timestamp(local).earlier().unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_time_of_day_comes_once_a_day(
        name in prop::sample::select(&ZONES[..]), first in 2008i16..2020,
        hour in prop_oneof![3 => 0i8..4, 1 => 4i8..24], minute in 0i8..60,
    ) {
        let zone = zone(name);
        let (begin, end) = years(first, &zone);
        let text = format!("daily {hour:02}:{minute:02}");
        let schedule: Schedule = text.parse().unwrap();
        let before = begin.checked_sub(SignedDuration::from_secs(1)).unwrap();
        let found: Vec<_> = schedule.after(before, &zone).take_while(|it| *it < end).collect();
        let days = date(first, 1, 1).series(1.day()).take_while(|day| day.year() < first + 10);
        let mut expected: Vec<_> = days
            .map(|day| right(day, time(hour, minute, 0, 0), &zone))
            .collect();
        // A day that was left out gives its run to the next day's first moment, if that is another.
        expected.dedup();
        prop_assert_eq!(found, expected, "{} {}", name, text);
    }

    #[test]
    fn no_hour_passes_without_an_hourly_run(
        name in prop::sample::select(&ZONES[..]), first in 2008i16..2020, minute in 0i8..60,
    ) {
        let zone = zone(name);
        let (begin, end) = years(first, &zone);
        let schedule: Schedule = format!("hourly :{minute}").parse().unwrap();
        let found: Vec<_> = schedule.after(begin, &zone).take_while(|it| *it < end).collect();
        for pair in found.windows(2) {
            let apart = pair[1].duration_since(pair[0]).as_secs();
            prop_assert!(apart > 0 && apart <= 5400, "{} {:?}", name, pair);
            // Clocks that move by whole hours change nothing.
            prop_assert!(apart == 3600 || name == "Australia/Lord_Howe" || minute == 0, "{pair:?}");
        }
    }

    #[test]
    fn asking_again_and_again_gives_the_same_row(
        name in prop::sample::select(&ZONES[..]), first in 2008i16..2020, step in 1i64..90_000,
    ) {
        let zone = zone(name);
        let (begin, _) = years(first, &zone);
        let schedule: Schedule = "cron 10,50 0-3 * * *".parse().unwrap();
        let row: Vec<_> = schedule.after(begin, &zone).take(300).collect();
        prop_assert!(row.windows(2).all(|pair| pair[0] < pair[1]));
        let mut at = begin;
        while at < row[290] {
            let next = schedule.next(at, &zone).unwrap();
            let expected = row[row.partition_point(|it| *it <= at)];
            prop_assert_eq!(next, expected);
            at = at.checked_add(SignedDuration::from_secs(step)).unwrap();
        }
    }
}

//! Missed runs are caught up or left out as was asked, blackouts hold runs up, jitter spreads
//! them and is always the same.

use std::time::Duration;

use jiff::civil::{DateTime, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_policy::{Blackout, Due, Timing};

fn at(text: &str) -> Timestamp {
    let local: DateTime = text.parse().unwrap();
    TimeZone::UTC.to_timestamp(local).unwrap()
}

fn timing(text: &str) -> Timing {
    Timing::new(text.parse().unwrap(), TimeZone::UTC)
}

#[test]
fn what_was_missed_is_done_once_and_counted() {
    let daily = timing("daily 02:00");
    let (last, now) = (at("2026-03-01T02:00"), at("2026-03-05T09:00"));
    let Due::Now { occurrence, missed } = daily.due(last, now, "job") else {
        panic!("it is due");
    };
    assert_eq!((occurrence.planned, missed), (at("2026-03-05T02:00"), 3));
    let later = daily.due(occurrence.planned, now, "job");
    assert!(matches!(later, Due::Later(next) if next.planned == at("2026-03-06T02:00")));
}

#[test]
fn without_catching_up_a_late_run_is_left_out() {
    let daily = Timing {
        is_caught_up: false,
        ..timing("daily 02:00")
    };
    let last = at("2026-03-01T02:00");
    let due = |now: &str| daily.due(last, at(now), "job");
    assert!(matches!(
        due("2026-03-02T02:10"),
        Due::Now { missed: 0, .. }
    ));
    let later = |now: &str, planned: &str| match due(now) {
        Due::Later(next) => assert_eq!(next.planned, at(planned), "{now}"),
        due => panic!("{now}: {due:?}"),
    };
    later("2026-03-02T02:16", "2026-03-03T02:00");
    later("2026-03-02T01:59", "2026-03-02T02:00");
}

#[test]
fn a_blackout_holds_runs_up_until_its_end() {
    let nightly = Timing {
        blackouts: vec![
            Blackout {
                weekdays: 0b001_1111,
                from: time(22, 0, 0, 0),
                to: time(4, 0, 0, 0),
            },
            Blackout {
                weekdays: 0x7f,
                from: time(4, 0, 0, 0),
                to: time(5, 30, 0, 0),
            },
        ],
        ..timing("daily 02:00")
    };
    // From Friday's evening into Saturday, then the second span; on Sunday the night is free.
    let mut next = nightly.after(at("2026-03-06T12:00"), "job");
    let saturday = next.next().unwrap();
    assert_eq!(
        (saturday.planned, saturday.begins),
        (at("2026-03-07T02:00"), at("2026-03-07T05:30"))
    );
    assert!(saturday.is_held_up);
    let sunday = next.next().unwrap();
    assert_eq!(
        (sunday.begins, sunday.is_held_up),
        (at("2026-03-08T02:00"), false)
    );
    let always = Blackout {
        weekdays: 0x7f,
        from: time(0, 0, 0, 0),
        to: time(0, 0, 0, 0),
    };
    let never = Timing {
        blackouts: vec![always],
        ..timing("daily 02:00")
    };
    assert_eq!(never.next(at("2026-03-06T12:00"), "job"), None);
    assert_eq!(
        never.due(at("2026-03-06T12:00"), at("2026-03-16T12:00"), "job"),
        Due::Never
    );
}

#[test]
fn jitter_spreads_jobs_and_stays_the_same() {
    let spread = Timing {
        jitter: Duration::from_secs(3600),
        ..timing("daily 02:00")
    };
    let begins = |job: &str| spread.next(at("2026-03-06T12:00"), job).unwrap().begins;
    let planned = at("2026-03-07T02:00");
    let delays: Vec<_> = (0..200)
        .map(|number| begins(&format!("job-{number}")).duration_since(planned))
        .collect();
    let most = SignedDuration::from_secs(3600);
    assert!(
        delays
            .iter()
            .all(|it| *it >= SignedDuration::ZERO && *it < most)
    );
    let early = delays.iter().filter(|it| it.as_secs() < 1800).count();
    assert!((60..140).contains(&early), "{early}");
    assert_eq!(begins("job-7"), begins("job-7"));
}

//! What a simulation leaves is what runs and their retention would have left, with the reasons.

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_policy::{
    FullCause, FullHistory, FullRule, Guard, KeepCount, RecoveryPoint, RemovingAll, Retention,
    SimulatedPoint, Simulator, Timing, apply,
};
use proptest::prelude::*;

const SCHEDULES: [&str; 4] = [
    "daily 02:00",
    "every 4h",
    "weekdays 22:00, 04:00",
    "weekly sun 03:00",
];

fn at(day: i64) -> Zoned {
    let begin = date(2026, 1, 1).at(12, 0, 0, 0);
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    begin
        .to_zoned(zone)
        .unwrap()
        .checked_add(day.days())
        .unwrap()
}

fn timing(text: &str) -> Timing {
    Timing::new(
        text.parse().unwrap(),
        TimeZone::get("Europe/Berlin").unwrap(),
    )
}

/// One that nobody proved.
fn point(time: &Zoned) -> RecoveryPoint<bool> {
    RecoveryPoint {
        time: time.clone(),
        host: String::new(),
        paths: Vec::new(),
        tags: Vec::new(),
        key: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_left_that_a_further_run_of_the_rules_would_remove(
        text in prop::sample::select(&SCHEDULES[..]),
        last in 1u32..4, daily in 0u32..8, weekly in 0u32..5, monthly in 0u32..4,
        existing in 0i64..40, days in 1i64..100,
    ) {
        let timing = timing(text);
        let retention = Retention {
            last: KeepCount::newest(last),
            daily: KeepCount::newest(daily),
            weekly: KeepCount::newest(weekly),
            monthly: KeepCount::newest(monthly),
            ..Retention::default()
        };
        let simulator = Simulator {
            guard: &Guard::default(),
            timing: &timing, job: "job", retention: &retention, full: &FullRule::default(),
        };
        let before: Vec<_> = (0..existing).map(|day| point(&at(day - existing))).collect();
        let span = (at(0).timestamp(), at(days).timestamp());
        let points = simulator
            .play(&before, FullHistory::default(), span, &CancelToken::new()).unwrap();
        let runs = points.iter().filter(|point| point.run.is_some()).count();
        let planned = timing.after(span.0, "job").take_while(|run| run.begins <= span.1).count();
        prop_assert_eq!(runs, planned);
        prop_assert_eq!(points.len(), planned + before.len());
        let left: Vec<_> = points.iter().filter(|point| point.removed.is_none()).collect();
        if planned == 0 {
            prop_assert_eq!(left.len(), before.len());
            return Ok(());
        }
        prop_assert!(left.len() as u32 <= last + daily + weekly + monthly);
        prop_assert!(left.iter().all(|point| !point.reasons.is_empty()));
        let is_ordered = |it: &SimulatedPoint| {
            it.removed.is_none_or(|end| end >= it.time.timestamp())
        };
        prop_assert!(points.iter().all(is_ordered));
        let again: Vec<_> = left.iter().map(|it| point(&it.time)).collect();
        let now = span.1.checked_add(1.second()).unwrap();
        let decisions = apply(&retention, &again, now, RemovingAll::Refused).unwrap();
        for (decision, point) in decisions.iter().zip(left.iter().rev()) {
            prop_assert_eq!(&decision.reasons, &point.reasons);
        }
    }
}

#[test]
fn full_reads_come_by_day_age_and_length_of_the_row() {
    let rule = FullRule {
        weekdays: 1 << 6,
        days_max: Some(10),
        increments_max: Some(3),
        ..FullRule::default()
    };
    let history = |day, increments| FullHistory {
        last_full: Some(at(day)),
        increments,
    };
    // Day 0 is a Thursday, day 3 a Sunday.
    let cases = [
        (at(0), FullHistory::default(), Some(FullCause::First)),
        (at(1), history(0, 0), None),
        (at(3), history(0, 2), Some(FullCause::Weekday)),
        (at(3), history(3, 0), None),
        (at(2), history(0, 3), Some(FullCause::Increments(3))),
        (at(9), history(0, 0), None),
        (at(11), history(0, 0), Some(FullCause::Days(10))),
    ];
    for (now, history, expected) in cases {
        assert_eq!(
            rule.cause(&now, &history),
            expected,
            "{now} after {history:?}"
        );
    }
    let always = FullRule {
        is_incremental: false,
        ..FullRule::default()
    };
    assert_eq!(
        always.cause(&at(1), &history(0, 0)),
        Some(FullCause::Always)
    );
}

#[test]
fn pins_tags_and_proofs_of_points_that_were_there_count() {
    let retention = Retention {
        last: KeepCount::newest(2),
        tags: vec![vec!["keep".to_owned()]],
        ..Retention::default()
    };
    let simulator = Simulator {
        timing: &timing("daily 02:00"),
        job: "job",
        retention: &retention,
        guard: &Guard::default(),
        full: &FullRule::default(),
    };
    let tagged = |day, tag: &str| RecoveryPoint {
        tags: vec![tag.to_owned()],
        ..point(&at(day))
    };
    let existing = [
        tagged(-5, "keep"),
        tagged(-4, "pinned-until=2026-01-06"),
        tagged(-3, "pinned-until=2027-01-06"),
        RecoveryPoint {
            key: true,
            ..point(&at(-2))
        },
        point(&at(-1)),
    ];
    let span = (at(0).timestamp(), at(20).timestamp());
    let points = simulator
        .play(&existing, FullHistory::default(), span, &CancelToken::new())
        .unwrap();
    let stays: Vec<bool> = points[..5]
        .iter()
        .map(|point| point.removed.is_none())
        .collect();
    assert_eq!(stays, [true, false, true, true, false]);
    let gone = points[1].removed.unwrap();
    assert_eq!(gone, "2026-01-07T01:00:00Z".parse().unwrap());
}

#[test]
fn what_is_too_much_is_refused_before_it_is_played_and_says_how_much_is_not() {
    let all = Retention {
        last: Some(KeepCount::Unlimited),
        ..Retention::default()
    };
    let few = Retention {
        last: KeepCount::newest(3),
        ..Retention::default()
    };
    let play = |text: &str, retention: &Retention, days: i64, cancel: &CancelToken| {
        let simulator = Simulator {
            timing: &timing(text),
            job: "job",
            retention,
            guard: &Guard::default(),
            full: &FullRule::default(),
        };
        let span = (
            at(0).timestamp(),
            at(0).timestamp() + SignedDuration::from_hours(24 * days),
        );
        simulator.play(&[], FullHistory::default(), span, cancel)
    };
    let go_on = CancelToken::new();
    let points = play("every 5m", &all, 69, &go_on).unwrap();
    assert_eq!(points.len(), 69 * 288);
    assert!(
        points
            .iter()
            .all(|it| it.removed.is_none() && !it.reasons.is_empty())
    );
    for retention in [&all, &few] {
        let refused = play("every 5m", retention, 70, &go_on).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        let text = refused.to_string();
        assert!(
            text.contains("more than 20000 runs") && text.ends_with("69 at most"),
            "{text}"
        );
    }
    let refused = play("cron * * * * * *", &few, 3660, &go_on).unwrap_err();
    assert!(refused.to_string().contains("one day of it"), "{refused}");
    let many = Retention {
        last: KeepCount::newest(19_000),
        ..Retention::default()
    };
    let refused = play("every 5m", &many, 69, &go_on).unwrap_err();
    assert!(
        refused.to_string().contains("only 10 days can"),
        "{refused}"
    );
    go_on.cancel();
    let stopped = play("daily 02:00", &few, 9, &go_on).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Cancelled);
}

//! What the guard keeps beside the keep rules, and what it refuses.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_policy::{
    Brake, Grouping, Guard, KeepCount, KeepReason, RecoveryPoint, Retention, plan_guarded,
};

const DAY: i64 = 86_400;

fn now() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().unwrap()
}

/// One point a day, the newest an hour old; `tags` belong to the point of that age in days.
fn points(count: i64, tags: &[(i64, &str)]) -> Vec<RecoveryPoint<i64>> {
    let point = |age: i64| RecoveryPoint {
        time: (now() - SignedDuration::from_secs(age * DAY + 3_600)).to_zoned(TimeZone::UTC),
        host: "web".to_owned(),
        paths: Vec::new(),
        tags: tags
            .iter()
            .filter(|(of, _)| *of == age)
            .map(|(_, tag)| (*tag).to_owned())
            .collect(),
        key: age,
    };
    (0..count).map(point).collect()
}

fn last(count: u32) -> Retention {
    Retention {
        last: KeepCount::newest(count),
        ..Retention::default()
    }
}

/// Ages of the points that stay, with the reason that was given last.
fn kept(
    rules: (&Retention, &Guard),
    points: &[RecoveryPoint<i64>],
    proved: i64,
) -> Result<Vec<(i64, KeepReason)>, String> {
    let spares = |age: &i64| *age == proved;
    let plans = plan_guarded(rules, Grouping::NONE, points, now(), &spares);
    let plans = plans.map_err(|error| error.to_string())?;
    let decisions = plans.iter().flat_map(|plan| &plan.decisions);
    let kept = decisions.filter_map(|it| Some((it.point.key, it.reasons.last()?.clone())));
    Ok(kept.collect())
}

#[test]
fn a_pin_holds_until_the_end_of_its_day_and_a_proof_always() {
    let tags = [
        (8, "pinned-until=2026-11-22"),
        (9, "pinned-until=2026-11-21"),
    ];
    let points = points(12, &tags);
    let kept = kept((&last(2), &Guard::default()), &points, 5).unwrap();
    let ages: Vec<i64> = kept.iter().map(|(age, _)| *age).collect();
    assert_eq!(ages, [0, 1, 5, 8]);
    assert_eq!(kept[2].1, KeepReason::Proved);
    assert_eq!(kept[3].1.to_string(), "pinned until 2026-11-22");
}

#[test]
fn nothing_older_than_the_limit_stays_but_pins_proofs_and_the_newest() {
    let points = points(12, &[(11, "pinned-until=2030-01-01")]);
    let guard = Guard {
        age_max: Some(Duration::from_secs(3 * 86_400)),
        points_min: 1,
        at_most: None,
    };
    let all = last(100);
    let ages = |proved| {
        let kept = kept((&all, &guard), &points, proved).unwrap();
        kept.iter().map(|(age, _)| *age).collect::<Vec<_>>()
    };
    assert_eq!(ages(-1), [0, 1, 2, 11]);
    assert_eq!(ages(7), [0, 1, 2, 7, 11]);
    // A machine that was not backed up for long keeps its newest point.
    let old: Vec<_> = points[5..].to_vec();
    let kept = kept((&all, &guard), &old, -1).unwrap();
    assert_eq!(kept[0], (5, KeepReason::AmongNewest(1)));
}

#[test]
fn more_than_the_brake_allows_is_refused_and_said_so() {
    let points = points(10, &[]);
    for (brake, keep, is_refused) in [
        (Brake::Percent(50), 5, false),
        (Brake::Percent(50), 4, true),
        (Brake::Points(2), 8, false),
        (Brake::Points(2), 7, true),
    ] {
        let guard = Guard {
            at_most: Some(brake),
            ..Guard::default()
        };
        let told = kept((&last(keep), &guard), &points, -1);
        assert_eq!(told.is_err(), is_refused, "{brake} {keep}");
        if let Err(text) = told {
            assert!(text.contains("--allow-many") && text.contains(&brake.to_string()));
        }
    }
}

#[test]
fn no_rule_at_all_is_refused_and_every_point_is_never_removed() {
    let points = points(3, &[]);
    let none = Retention::default();
    assert!(kept((&none, &Guard::default()), &points, -1).is_err());
    let guard = Guard {
        age_max: Some(Duration::from_secs(60)),
        ..Guard::default()
    };
    let told = kept((&none, &guard), &points, -1).unwrap_err();
    assert!(told.contains("all 3 recovery points"), "{told}");
}

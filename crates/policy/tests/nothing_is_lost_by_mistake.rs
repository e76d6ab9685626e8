//! No retention empties a group unless that is asked for; applying it twice changes nothing.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::ErrorKind;
use lifeboat_policy::{
    Grouping, KeepCount, KeepDuration, RecoveryPoint, RemovingAll, Retention, apply, plan,
};
use proptest::prelude::*;

type Point = RecoveryPoint<usize>;

const ZONES: [&str; 4] = ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "IST-5:30", "EST5"];

fn point(key: usize, seconds: i64, zone: usize, host: u8, tags: &[&str]) -> Point {
    let zone = TimeZone::posix(ZONES[zone]).unwrap();
    RecoveryPoint {
        time: Timestamp::from_second(seconds).unwrap().to_zoned(zone),
        host: format!("host-{host}"),
        paths: vec!["/machine".to_owned()],
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        key,
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

/// Gaps from seconds to months, some points in the future.
fn points() -> impl Strategy<Value = Vec<Point>> {
    let one = (0u32..24, 0u64..2048, 0..ZONES.len(), 0u8..3, 0usize..4);
    let tags: [&[&str]; 4] = [&[], &["a"], &["a", "b"], &["b"]];
    prop::collection::vec(one, 0..60).prop_map(move |parts| {
        let points = parts.into_iter().enumerate().map(|(key, part)| {
            let (scale, distance, zone, host, tag) = part;
            let back = i64::try_from((distance << scale) >> 8).unwrap();
            point(key, 1_700_001_000 - back, zone, host, tags[tag])
        });
        points.collect()
    })
}

fn count() -> impl Strategy<Value = Option<KeepCount>> {
    prop_oneof![
        4 => Just(None),
        3 => (0u32..9).prop_map(KeepCount::newest),
        1 => Just(Some(KeepCount::Unlimited)),
    ]
}

fn duration() -> impl Strategy<Value = Option<KeepDuration>> {
    let some = (0u32..2, 0u32..14, 0u32..40, 0u32..50);
    let some = some.prop_map(|(years, months, days, hours)| KeepDuration {
        years,
        months,
        days,
        hours,
    });
    prop::option::weighted(0.3, some)
}

prop_compose! {
    fn retention()(
        counts in prop::array::uniform6(count()),
        within in prop::array::uniform6(duration()),
        tags in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "c"]), 0..2),
    ) -> Retention {
        let [last, hourly, daily, weekly, monthly, yearly] = counts;
        let [all, within_hourly, within_daily, within_weekly, within_monthly, within_yearly] =
            within;
        Retention {
            last, hourly, daily, weekly, monthly, yearly,
            within: all, within_hourly, within_daily, within_weekly, within_monthly, within_yearly,
            tags: tags.into_iter().map(|tag| vec![tag.to_owned()]).collect(),
        }
    }
}

fn kept(retention: &Retention, points: &[Point]) -> Vec<Point> {
    let by = Grouping::parse("host").unwrap();
    let plans = plan(retention, by, points, now(), RemovingAll::Allowed).unwrap();
    let decisions = plans.into_iter().flat_map(|plan| plan.decisions);
    let mut kept: Vec<_> = decisions
        .filter(|d| d.keep())
        .map(|decision| decision.point.clone())
        .collect();
    kept.sort_by_key(|point| point.key);
    kept
}

proptest! {
    #[test]
    fn no_group_is_emptied_unless_allowed(points in points(), retention in retention()) {
        let by = Grouping::parse("host").unwrap();
        match plan(&retention, by, &points, now(), RemovingAll::Refused) {
            Ok(plans) => {
                let count: usize = plans.iter().map(|plan| plan.decisions.len()).sum();
                prop_assert_eq!(count, points.len(), "each point is decided once");
                for plan in plans {
                    prop_assert!(plan.decisions.iter().any(|decision| decision.keep()));
                }
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Invalid);
                let left = kept(&retention, &points);
                let emptied = points.iter().any(|p| left.iter().all(|k| k.host != p.host));
                prop_assert!(retention.is_empty() || emptied);
            }
        }
    }

    #[test]
    fn what_was_kept_stays_kept(points in points(), retention in retention()) {
        let once = kept(&retention, &points);
        prop_assert_eq!(kept(&retention, &once), once);
    }

    #[test]
    fn more_rules_keep_more(points in points(), one in retention(), days in 1u32..400) {
        let mut more = one.clone();
        more.within = Some(KeepDuration { days, ..KeepDuration::default() });
        if one.within.is_none() {
            let left = kept(&one, &points);
            let more = kept(&more, &points);
            prop_assert!(left.iter().all(|point| more.contains(point)));
        }
    }

    #[test]
    fn decisions_do_not_depend_on_the_order_given(points in points(), retention in retention()) {
        let mut distinct = points;
        distinct.sort_by_key(|point| point.time.timestamp());
        distinct.dedup_by_key(|point| point.time.timestamp());
        let forward = kept(&retention, &distinct);
        distinct.reverse();
        prop_assert_eq!(kept(&retention, &distinct), forward);
    }
}

#[test]
fn an_empty_retention_is_refused_and_says_what_to_do() {
    let points = [point(1, 1_600_000_000, 0, 1, &[])];
    let error = apply(&Retention::default(), &points, now(), RemovingAll::Refused).unwrap_err();
    let text = "applying the retention: it has no rule and would keep nothing; name at least \
                one, like keep_daily = 7 (typed: --keep-daily 7)";
    assert_eq!(error.to_string(), text);
    let all = apply(&Retention::default(), &points, now(), RemovingAll::Allowed).unwrap();
    assert!(!all[0].keep());
}

#[test]
fn a_mistyped_tag_does_not_empty_a_group() {
    let points = [
        point(1, 1_600_000_000, 0, 1, &["gold"]),
        point(2, 1_600_000_001, 0, 2, &["silver"]),
    ];
    let retention = Retention {
        tags: vec![vec!["gold".to_owned()]],
        ..Retention::default()
    };
    let by = Grouping::default();
    let error = plan(&retention, by, &points, now(), RemovingAll::Refused).unwrap_err();
    assert_eq!(error.group().unwrap().host.as_deref(), Some("host-2"));
    let text = "applying the retention to host host-2, paths [/machine]: it would remove all 1 \
                recovery points; add a rule that keeps some, or permit the removal of all \
                explicitly";
    assert_eq!(error.to_string(), text);
}

#[test]
fn ten_years_of_hours_are_decided_quickly_and_in_order() {
    let hours = 10 * 365 * 24;
    let points: Vec<_> = (0..hours)
        .map(|hour| point(hour, 1_699_999_999 - hour as i64 * 3600, 1, 1, &[]))
        .collect();
    let retention = Retention {
        hourly: KeepCount::newest(24),
        daily: KeepCount::newest(7),
        monthly: Some(KeepCount::Unlimited),
        ..Retention::default()
    };
    let decisions = apply(&retention, &points, now(), RemovingAll::Refused).unwrap();
    assert!(decisions.is_sorted_by_key(|d| std::cmp::Reverse(d.point.time.timestamp())));
    let kept = decisions.iter().filter(|decision| decision.keep()).count();
    assert!((24 + 6 + 119..=24 + 6 + 121).contains(&kept), "{kept}");
    assert!(decisions[0].keep(), "the newest stays");
}

#[test]
fn a_clock_that_jumps_loses_nothing_but_what_the_rules_say() {
    let retention = Retention {
        within: KeepDuration::parse("7d").ok(),
        ..Retention::default()
    };
    let points: Vec<_> = (0..5)
        .map(|day| point(day, 1_699_000_000 + day as i64 * 86_400, 0, 1, &[]))
        .collect();
    for hours in [-24, 0, 24, 9_000, -400_000] {
        let moved = now() + SignedDuration::from_hours(hours);
        let decisions = apply(&retention, &points, moved, RemovingAll::Refused).unwrap();
        assert!(decisions.iter().all(|decision| decision.keep()), "{hours}");
    }
}

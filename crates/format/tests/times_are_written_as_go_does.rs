//! Times keep every digit and their offset.

use jiff::Timestamp;
use lifeboat_format::GoTime;
use proptest::prelude::*;

#[test]
fn written_times_stay_as_they_are() {
    for text in [
        "2026-11-21T06:10:38.560810964Z",
        "2026-11-21T06:10:38.5Z",
        "1970-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0000-12-17T20:06:48+05:53",
        "9999-12-31T23:59:59.999999999-12:00",
        "2000-02-29T23:59:59+05:30",
        "1900-02-28T00:00:00-00:01",
    ] {
        assert_eq!(text.parse::<GoTime>().unwrap().to_string(), text);
    }
    for (text, shorter) in [
        ("2026-11-21T06:10:38.500000000Z", "2026-11-21T06:10:38.5Z"),
        (
            "2026-11-21T06:10:38.1234567899Z",
            "2026-11-21T06:10:38.123456789Z",
        ),
        ("2026-11-21T06:10:38+00:00", "2026-11-21T06:10:38Z"),
    ] {
        assert_eq!(text.parse::<GoTime>().unwrap().to_string(), shorter);
    }
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "2026",
        "2026-11-21",
        "2026-11-21T06:10:38",
        "2026-11-21T06:10:38z",
        "2026-11-21 06:10:38Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00ZZ",
        "12026-01-01T00:00:00Z",
        "-026-01-01T00:00:00Z",
        "２026-01-01T00:00:00Z",
        "2026-01-01T00:00:00\u{660}Z",
    ] {
        assert!(text.parse::<GoTime>().is_err(), "{text}");
    }
}

#[test]
fn moments_beyond_jiff_become_its_edge() {
    let last: GoTime = "9999-12-31T23:59:59Z".parse().unwrap();
    assert_eq!(last.timestamp(), Timestamp::MAX);
    assert_eq!(last.zoned().timestamp(), Timestamp::MAX);
}

#[test]
fn they_are_ordered_by_moment() {
    let ordered = [
        "0001-01-01T00:00:00Z",
        "2026-11-21T06:10:38+05:00",
        "2026-11-21T06:10:38.5+05:00",
        "2026-11-21T01:10:39Z",
        "2026-11-20T23:10:39-04:00",
        "9999-12-31T23:59:59Z",
    ];
    let times = ordered.map(|text| text.parse::<GoTime>().unwrap());
    assert!(times.is_sorted() && times[0] == GoTime::default());
}

proptest! {
    #[test]
    fn an_independent_calendar_agrees(
        seconds in -62_167_000_000i64..253_402_000_000, nanoseconds in 0..1_000_000_000i32,
        minutes in -1000..1000i32,
    ) {
        let timestamp = Timestamp::new(seconds, 0).unwrap();
        let timestamp = timestamp + jiff::SignedDuration::new(0, nanoseconds);
        let time = GoTime::from(timestamp);
        prop_assert_eq!(time.to_string(), timestamp.to_string());
        prop_assert_eq!(time.timestamp(), timestamp);
        let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
        let zoned = timestamp.to_zoned(offset.to_time_zone());
        let local = GoTime::from(zoned.clone());
        prop_assert_eq!(local.zoned(), zoned);
        prop_assert_eq!(local.to_string().parse::<GoTime>().unwrap(), local);
        prop_assert_eq!(time.to_string().parse::<GoTime>().unwrap(), time);
    }
}

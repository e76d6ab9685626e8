//! Texts that people, platforms and other programs write.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_backend::Location;
use lifeboat_disk::{ChangedExtents, DataExtents};
use lifeboat_engine::files::PathFilter;
use lifeboat_engine::verify::Subset;
use lifeboat_format::{GoTime, MachineManifest, label};
use lifeboat_model::{ByteCount, DiskName, Id, VmName};
use lifeboat_policy::{
    Grouping, KeepCount, KeepDuration, RecoveryPoint, RemovingAll, Retention, localized, plan,
};

/// Extent lists of other tools; the first eight bytes are the size of the disk.
pub(crate) fn extents(input: &[u8]) {
    let Some((size, list)) = input.split_first_chunk::<8>() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    for read in [ChangedExtents::from_json, DataExtents::from_json] {
        if let Ok(set) = read(list, size) {
            let end = set.iter().last().map_or(0, |extent| extent.end());
            assert!(end <= size, "extents end with the disk");
        }
    }
}

/// The manifest; what was read is written so that it reads the same.
pub(crate) fn manifest(input: &[u8]) {
    let Ok(manifest) = MachineManifest::decode(input) else {
        return;
    };
    let again = MachineManifest::decode(&manifest.encode());
    assert_eq!(again.ok(), Some(manifest), "a manifest is read as written");
}

/// Names, labels, sizes and places.
pub(crate) fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(name) = text.parse::<VmName>() {
        let snapshot = label::of(&name, GoTime::default(), &[text.to_string()]);
        assert_eq!(label::read(&snapshot), Some(name), "labels come back");
    }
    if let Ok(name) = text.parse::<DiskName>() {
        let name = name.as_str();
        assert!(!name.contains('/') && name.len() <= 200 && name != "..");
    }
    if let Ok(count) = text.parse::<ByteCount>() {
        drop(count.to_string());
    }
    if let Ok(id) = text.parse::<Id>() {
        assert_eq!(id.to_string().parse(), Ok(id), "ids come back");
    }
    drop(Location::parse(&text).map(|place| place.to_string()));
    drop(text.parse::<Subset>());
    let patterns: Vec<String> = text.split('\n').map(str::to_owned).collect();
    drop(PathFilter::new(&patterns, &patterns));
}

/// Keep rules, one word each, and points at times of any sort; words are split at blanks.
pub(crate) fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut retention = Retention::default();
    let mut grouping = Grouping::NONE;
    let mut points = Vec::new();
    for (number, word) in text.split_ascii_whitespace().take(200).enumerate() {
        if let Ok(duration) = KeepDuration::parse(word) {
            assert_eq!(KeepDuration::parse(&duration.to_string()), Ok(duration));
            keep_within(&mut retention, number, duration);
        }
        if let Ok(count) = KeepCount::parse(word) {
            keep_count(&mut retention, number, count);
        }
        if let Ok(found) = Grouping::parse(word) {
            grouping = found;
        }
        points.extend(point(word));
    }
    drop(retention.to_string());
    for removing in [RemovingAll::Refused, RemovingAll::Allowed] {
        let Ok(groups) = plan(
            &retention,
            grouping,
            &points,
            Timestamp::UNIX_EPOCH,
            removing,
        ) else {
            continue;
        };
        let decided: usize = groups.iter().map(|group| group.decisions.len()).sum();
        assert_eq!(decided, points.len(), "every point is decided about");
    }
}

fn keep_within(retention: &mut Retention, number: usize, duration: KeepDuration) {
    let rule = match number % 6 {
        0 => &mut retention.within,
        1 => &mut retention.within_hourly,
        2 => &mut retention.within_daily,
        3 => &mut retention.within_weekly,
        4 => &mut retention.within_monthly,
        _ => &mut retention.within_yearly,
    };
    *rule = Some(duration);
}

fn keep_count(retention: &mut Retention, number: usize, count: Option<KeepCount>) {
    let rule = match number % 6 {
        0 => &mut retention.last,
        1 => &mut retention.hourly,
        2 => &mut retention.daily,
        3 => &mut retention.weekly,
        4 => &mut retention.monthly,
        _ => &mut retention.yearly,
    };
    *rule = count;
}

/// A point at a time as snapshot files write it.
fn point(word: &str) -> Option<RecoveryPoint<()>> {
    let time: GoTime = serde_json::from_value(word.into()).ok()?;
    let written = serde_json::to_value(time).ok()?;
    let again: Result<GoTime, _> = serde_json::from_value(written);
    assert_eq!(again.ok(), Some(time), "times come back");
    let local = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").ok()?;
    Some(RecoveryPoint {
        time: localized(&time.zoned(), &local),
        host: word.chars().take(1).collect(),
        paths: vec![word.to_owned()],
        tags: Vec::new(),
        key: (),
    })
}

//! The part of a job about snapshots of LVM volumes.

use lifeboat_model::ByteCount;
use lifeboat_platform::{SnapshotRules, StoreSize};
use serde::Deserialize;

use super::{invalid, one};
use crate::Result;

/// Rules for snapshots of LVM volumes as they are written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LvmText {
    /// Of a snapshot's store: `15%` of the volume, `4G`, or `all_free`.
    pub snapshot_size: Option<String>,
    /// The smallest store, as in `256M`.
    pub snapshot_min: Option<String>,
    /// The largest store.
    pub snapshot_max: Option<String>,
    /// Which snapshots stay and tell the next run what changed: `never`, `thin` or `all`.
    pub keep_snapshots: Option<String>,
}

impl LvmText {
    /// Parses every value.
    ///
    /// Errors: `Invalid`, naming the field.
    pub fn parse(&self) -> Result<SnapshotRules> {
        let usual = SnapshotRules::default();
        let store_size: Option<StoreSize> = given(&self.snapshot_size, "lvm.snapshot_size")?;
        let min: Option<ByteCount> = given(&self.snapshot_min, "lvm.snapshot_min")?;
        let max: Option<ByteCount> = given(&self.snapshot_max, "lvm.snapshot_max")?;
        let is_fixed = matches!(store_size, Some(StoreSize::Bytes(_)));
        if is_fixed && (min.is_some() || max.is_some()) {
            let rule = "a size in bytes has no snapshot_min and snapshot_max beside it";
            return Err(invalid("lvm.snapshot_size", rule));
        }
        // A limit below the usual smallest store is meant to be kept.
        let most = max.map_or(usual.store_bytes_min.0, |it| it.0);
        let least = match is_fixed {
            true => 0,
            false => usual.store_bytes_min.0.min(most),
        };
        let store_bytes_min = min.unwrap_or(ByteCount(least));
        if max.is_some_and(|max| max.0 == 0 || max.0 < store_bytes_min.0) {
            let rule = "write at least as much as in snapshot_min, and more than nothing";
            return Err(invalid("lvm.snapshot_max", rule));
        }
        let kept = given(&self.keep_snapshots, "lvm.keep_snapshots")?;
        Ok(SnapshotRules {
            store_size: store_size.unwrap_or(usual.store_size),
            store_bytes_min,
            store_bytes_max: max,
            kept: kept.unwrap_or_default(),
        })
    }
}

fn given<T: std::str::FromStr>(text: &Option<String>, field: &str) -> Result<Option<T>>
where
    T::Err: std::fmt::Display,
{
    text.as_deref().map(|text| one(text, field)).transpose()
}

#[cfg(test)]
mod tests {
    use lifeboat_platform::{KeptSnapshots, Percent};

    use super::*;
    use crate::JobText;

    fn rules(text: &str) -> std::result::Result<SnapshotRules, String> {
        let job = JobText::from_toml(&format!("[lvm]\n{text}"));
        let job = job.and_then(|it| it.parse()).map_err(|e| e.to_string())?;
        Ok(job.snapshots.unwrap())
    }

    #[test]
    fn rules_have_usual_values_and_limits() {
        assert_eq!(rules("").unwrap(), SnapshotRules::default());
        let told = "snapshot_size = '20%'\nsnapshot_max = '10G'\nkeep_snapshots = 'all'";
        let wanted = SnapshotRules {
            store_size: StoreSize::Share(Percent(2_000)),
            store_bytes_max: Some(ByteCount(10 << 30)),
            kept: KeptSnapshots::All,
            ..SnapshotRules::default()
        };
        assert_eq!(rules(told).unwrap(), wanted);
        let small = rules("snapshot_max = '16M'").unwrap();
        assert_eq!(small.store_bytes_min, ByteCount(16 << 20));
        let fixed = rules("snapshot_size = '8M'").unwrap();
        assert_eq!(fixed.store_bytes_min, ByteCount(0));
    }

    #[test]
    fn what_is_wrong_with_rules_is_named() {
        for (text, word) in [
            ("snapshot_size = '120%'", "lvm.snapshot_size"),
            ("snapshot_size = '1G'\nsnapshot_min = '1G'", "snapshot_min"),
            (
                "snapshot_min = '2G'\nsnapshot_max = '1G'",
                "lvm.snapshot_max",
            ),
            ("keep_snapshots = 'some'", "never, thin or all"),
            ("snapshots = '1G'", "unknown field"),
        ] {
            let said = rules(text).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}

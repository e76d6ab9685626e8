//! How much room the snapshots of a capture get, and whether it is there.

use std::collections::BTreeMap;

use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_platform::{Error, Percent, Result, SnapshotRules, StoreSize};

use crate::report::{Group, Volume, VolumeKind};
use crate::tools::Tools;
use crate::{FullName, GroupName};

/// What stands for "a tenth of the disks" of a pool, where the request names no number.
const POOL_SHARE: Percent = Percent(1_000);

/// Bytes of the store for each of the volumes; nothing for thin ones.
///
/// `bytes_min` is the request's wish for all of them together.
///
/// Errors: `Full`, with the sizes, if a group or a pool has too little.
pub(crate) fn stores(
    tools: &Tools,
    rules: &SnapshotRules,
    (volumes, all): (&[&Volume], &[Volume]),
    bytes_min: Option<ByteCount>,
) -> Result<Vec<Option<u64>>> {
    let mut groups: BTreeMap<&GroupName, Vec<&Volume>> = BTreeMap::new();
    let classic = volumes.iter().filter(|it| it.kind != VolumeKind::Thin);
    for volume in classic {
        groups.entry(&volume.name.group).or_default().push(volume);
    }
    let total: u64 = groups.values().flatten().map(|it| it.size).sum();
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, members) in groups {
        let group = tools.group(name)?;
        let rule = Rule {
            rules,
            group: &group,
            in_group: members.iter().map(|it| it.size).sum(),
            total,
            bytes_min,
        };
        rule.check(&members)?;
        for member in members {
            sizes.insert(&member.uuid, rule.store(member));
        }
    }
    check_pools(volumes, all, bytes_min)?;
    Ok(volumes
        .iter()
        .map(|it| sizes.get(it.uuid.as_str()).copied())
        .collect())
}

struct Rule<'a> {
    rules: &'a SnapshotRules,
    group: &'a Group,
    /// Bytes of the machine's classic volumes in this group, and in all groups.
    in_group: u64,
    total: u64,
    bytes_min: Option<ByteCount>,
}

impl Rule<'_> {
    fn store(&self, volume: &Volume) -> u64 {
        let extent = self.group.extent_size;
        let most = self.rules.store_bytes_max.map_or(u64::MAX, |it| it.0);
        if self.rules.store_size == StoreSize::AllFree {
            let share = share(self.group.free, volume.size, self.in_group).min(most);
            return share - share % extent;
        }
        let wish = match self.rules.store_size {
            StoreSize::Share(percent) => percent.of(volume.size),
            StoreSize::Bytes(bytes) => bytes.0,
            StoreSize::AllFree => 0,
        };
        let asked = self
            .bytes_min
            .map_or(0, |min| share(min.0, volume.size, self.total));
        let wish = wish.max(self.rules.store_bytes_min.0).min(most).max(asked);
        wish.min(largest(volume.size)).next_multiple_of(extent)
    }

    fn least(&self, volume: &Volume) -> u64 {
        let asked = self
            .bytes_min
            .map_or(0, |min| share(min.0, volume.size, self.total));
        let least = asked.max(self.rules.store_bytes_min.0);
        least
            .min(largest(volume.size))
            .next_multiple_of(self.group.extent_size)
    }

    fn check(&self, members: &[&Volume]) -> Result<()> {
        let needed: u64 = match self.rules.store_size {
            StoreSize::AllFree => members.iter().map(|it| self.least(it)).sum(),
            _ => members.iter().map(|it| self.store(it)).sum(),
        };
        if needed <= self.group.free {
            return Ok(());
        }
        let seen = format!(
            "the snapshots need {} and {} are free; free room in the group or choose a smaller \
             size for snapshots",
            ByteCount(needed),
            ByteCount(self.group.free)
        );
        let object = format!("volume group {}", self.group.name);
        Err(Error::new(ErrorKind::Full, "making room in", object).seen(seen))
    }
}

/// Bytes beyond which a store cannot grow full: the volume, and 1/128 for tables and rounding.
fn largest(volume: u64) -> u64 {
    volume + volume / 128 + (1 << 20)
}

/// `amount` times `part` of `whole`.
fn share(amount: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(amount) * u128::from(part);
    u64::try_from(product / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

/// A pool that fills up stops all its machines: it must have room for what they overwrite.
fn check_pools(volumes: &[&Volume], all: &[Volume], bytes_min: Option<ByteCount>) -> Result<()> {
    let mut pools: BTreeMap<FullName, u64> = BTreeMap::new();
    for volume in volumes {
        let pool = volume.pool.as_deref().and_then(|name| volume.beside(name));
        if let Some(pool) = pool.filter(|_| volume.kind == VolumeKind::Thin) {
            *pools.entry(pool).or_default() += volume.size;
        }
    }
    let total: u64 = pools.values().sum();
    for (name, size) in pools {
        let missing = || {
            Error::new(
                ErrorKind::NotFound,
                "looking for the pool",
                name.to_string(),
            )
        };
        let pool = all.iter().find(|it| it.name == name).ok_or_else(missing)?;
        refuse_failing(pool)?;
        let needed = match bytes_min {
            Some(min) => share(min.0, size, total),
            None => POOL_SHARE.of(size),
        };
        let used = pool.used.unwrap_or(Percent::FULL);
        let free = pool.size.saturating_sub(used.of(pool.size));
        if free < needed {
            let seen = format!(
                "{} should be free for what the machine overwrites meanwhile and {} are; extend \
                 the pool",
                ByteCount(needed),
                ByteCount(free)
            );
            let object = format!("thin pool {name}");
            return Err(Error::new(ErrorKind::Full, "making room in", object).seen(seen));
        }
    }
    Ok(())
}

/// Errors: `Full` for a pool whose data or metadata has no room, or that LVM finds ill.
pub(crate) fn refuse_failing(pool: &Volume) -> Result<()> {
    let is_full = |used: Option<Percent>| used.is_some_and(|it| it >= Percent::FULL);
    let seen = if is_full(pool.used) {
        "its data is full".to_owned()
    } else if is_full(pool.metadata_used) {
        "its metadata is full".to_owned()
    } else if pool.is_lost {
        "its metadata needs a check".to_owned()
    } else if !pool.health.is_empty() {
        format!("LVM reports {}", pool.health)
    } else {
        return Ok(());
    };
    let object = format!("thin pool {}", pool.name);
    let seen = format!("{seen}; extend or repair the pool, nothing of this run can be trusted");
    Err(Error::new(ErrorKind::Full, "using", object).seen(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn volume(size: u64) -> Volume {
        let row = r#"{"lv_uuid":"a","lv_name":"a","vg_name":"v","lv_path":"","lv_dm_path":"",
            "lv_attr":"-wi-a-----","lv_size":"SIZE","origin":"","pool_lv":"","thin_id":"",
            "data_percent":"","metadata_percent":"","lv_snapshot_invalid":"unknown",
            "lv_health_status":"","lv_tags":"","lv_kernel_major":"1","lv_kernel_minor":"1"}"#;
        let row = row.replace("SIZE", &size.to_string());
        let answer = format!("{{\"report\":[{{\"lv\":[{row}]}}]}}");
        crate::report::volumes(answer.as_bytes()).unwrap().remove(0)
    }

    /// The stores of two volumes of 100 and 300 MiB, or what is said.
    fn stores(
        store_size: StoreSize,
        (least, asked): (u64, Option<u64>),
        free: u64,
    ) -> std::result::Result<[u64; 2], String> {
        let rules = SnapshotRules {
            store_size,
            store_bytes_min: ByteCount(least * MIB),
            ..SnapshotRules::default()
        };
        let group = Group {
            name: "v".parse().unwrap(),
            free: free * MIB,
            extent_size: 4 * MIB,
        };
        let volumes = [volume(100 * MIB), volume(300 * MIB)];
        let rule = Rule {
            rules: &rules,
            group: &group,
            in_group: 400 * MIB,
            total: 400 * MIB,
            bytes_min: asked.map(|it| ByteCount(it * MIB)),
        };
        let members: Vec<&Volume> = volumes.iter().collect();
        rule.check(&members).map_err(|e| e.to_string())?;
        Ok([0, 1].map(|it| rule.store(members[it]) / MIB))
    }

    #[test]
    fn stores_follow_the_rule_in_whole_extents() {
        let tenth = StoreSize::Share(Percent(1_000));
        assert_eq!(stores(tenth, (0, None), 500).unwrap(), [12, 32]);
        assert_eq!(stores(tenth, (20, None), 500).unwrap(), [20, 32]);
        assert_eq!(stores(tenth, (0, Some(80)), 500).unwrap(), [20, 60]);
        let bytes = StoreSize::Bytes(ByteCount(50 * MIB));
        assert_eq!(stores(bytes, (0, None), 500).unwrap(), [52, 52]);
        assert_eq!(stores(StoreSize::AllFree, (0, None), 90).unwrap(), [20, 64]);
        // More than the volume and its tables is never needed.
        let bytes = StoreSize::Bytes(ByteCount(900 * MIB));
        assert_eq!(stores(bytes, (0, None), 500).unwrap(), [104, 304]);
    }

    #[test]
    fn too_little_room_is_told_with_both_sizes() {
        let bytes = StoreSize::Bytes(ByteCount(50 * MIB));
        let said = stores(bytes, (0, None), 103).unwrap_err();
        assert!(
            said.contains("104.000 MiB") && said.contains("103.000 MiB"),
            "{said}"
        );
        assert!(stores(StoreSize::AllFree, (60, None), 103).is_err());
        assert!(stores(StoreSize::AllFree, (0, Some(200)), 103).is_err());
    }
}

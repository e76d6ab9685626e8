//! Rules for snapshots of volumes: what their stores take up, and which of them stay.

use std::fmt;
use std::str::FromStr;

use lifeboat_model::{ByteCount, ParseError};

/// Hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

impl Percent {
    /// All of it.
    pub const FULL: Self = Self(10_000);

    /// That share of an amount, rounded up.
    pub fn of(self, amount: u64) -> u64 {
        let share = u128::from(amount) * u128::from(self.0);
        u64::try_from(share.div_ceil(u128::from(Self::FULL.0))).unwrap_or(u64::MAX)
    }

    /// Reads `12` or `12.34`; further digits are cut off.
    pub fn from_number(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let part = format!("{part:0<2}");
        let whole: u32 = whole.parse().ok()?;
        let hundredths: u32 = part.get(..2)?.parse().ok()?;
        Some(Self(whole.checked_mul(100)?.checked_add(hundredths)?))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}%", self.0 / 100),
            part => write!(f, "{}.{part:02}%", self.0 / 100),
        }
    }
}

/// How large the store of a snapshot is made that does not share a pool's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreSize {
    /// That share of its origin: more than 0 %, at most 100 %.
    Share(Percent),
    /// That many bytes.
    Bytes(ByteCount),
    /// All that is free in the group, shared among the machine's volumes by their size.
    AllFree,
}

impl FromStr for StoreSize {
    type Err = ParseError;

    /// Reads `15%`, `4G` or `all_free`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = "write a share as in 15%, at most 100%, bytes as in 4G, or all_free";
        let wrong = || ParseError::new("size of snapshots", text, rule);
        if text == "all_free" {
            return Ok(Self::AllFree);
        }
        if let Some(number) = text.strip_suffix('%') {
            let share = Percent::from_number(number.trim());
            let share = share.filter(|it| (1..=Percent::FULL.0).contains(&it.0));
            return share.map(Self::Share).ok_or_else(wrong);
        }
        let bytes: ByteCount = text.parse().map_err(|_| wrong())?;
        if bytes.0 == 0 {
            return Err(wrong());
        }
        Ok(Self::Bytes(bytes))
    }
}

/// Which snapshots stay from one run to the next and tell it what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeptSnapshots {
    /// None: every backup reads whole volumes.
    Never,
    /// Those that share a pool's room: only what changes meanwhile takes any.
    #[default]
    Thin,
    /// Those with stores of their own too, which occupy the store all the time and cost every
    /// first write to a chunk a copy.
    All,
}

impl FromStr for KeptSnapshots {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "never" => Ok(Self::Never),
            "thin" => Ok(Self::Thin),
            "all" => Ok(Self::All),
            _ => {
                let rule = "write never, thin or all";
                Err(ParseError::new("choice of kept snapshots", text, rule))
            }
        }
    }
}

/// What an operator decides about snapshots of volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRules {
    /// How large stores are made.
    pub store_size: StoreSize,
    /// The smallest store; none needs more than its origin and the tables.
    pub store_bytes_min: ByteCount,
    /// The largest store, if there is a limit; not below the smallest.
    pub store_bytes_max: Option<ByteCount>,
    /// Which snapshots stay.
    pub kept: KeptSnapshots,
}

impl Default for SnapshotRules {
    /// A tenth of the volume and at least 256 MiB; only thin snapshots stay.
    fn default() -> Self {
        Self {
            store_size: StoreSize::Share(Percent(1_000)),
            store_bytes_min: ByteCount(256 << 20),
            store_bytes_max: None,
            kept: KeptSnapshots::Thin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shares_bytes_or_all() {
        let size = |text: &str| text.parse::<StoreSize>();
        assert_eq!(size("15%"), Ok(StoreSize::Share(Percent(1_500))));
        assert_eq!(size("0.5 %"), Ok(StoreSize::Share(Percent(50))));
        assert_eq!(size("4G"), Ok(StoreSize::Bytes(ByteCount(4 << 30))));
        assert_eq!(size("all_free"), Ok(StoreSize::AllFree));
        for wrong in ["", "0%", "101%", "-1%", "ten%", "0", "all"] {
            let error = size(wrong).unwrap_err().to_string();
            assert!(error.contains("15%"), "{error}");
        }
    }
}

//! Machines that platforms showed, protected or not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::{Row, body, moment};
use crate::{Catalog, Result};

/// A machine's place and id there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MachineKey {
    /// The platform's configured name.
    pub platform: String,
    /// The platform's id of it.
    pub id: String,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Where it is.
    pub key: MachineKey,
    /// Its name.
    pub name: String,
    /// How it was when it was last seen: `running`, `off`.
    pub state: String,
    /// The sum of its disks, in bytes.
    pub bytes: u64,
    /// Jobs that mean it.
    pub jobs: Vec<String>,
    /// When a platform last showed it.
    pub seen: Timestamp,
    /// Since when its platform does not show it any more.
    pub gone: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    state: String,
    bytes: u64,
    jobs: Vec<String>,
}

impl Catalog {
    /// Writes down all machines of a platform as they are; others of it are gone from now on.
    pub fn set_machines(&self, platform: &str, machines: &[Machine]) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let statement = "UPDATE machines SET gone = $2 WHERE platform = $1 AND gone IS NULL";
            transaction.execute(statement, &[platform.into(), now.into()])?;
            // One that was gone counts anew.
            let statement = "INSERT INTO machines (platform, id, name, seen, gone, body, since) \
                             VALUES ($1, $2, $3, $4, NULL, $5, $4) \
                             ON CONFLICT (platform, id) DO UPDATE SET name = excluded.name, \
                             seen = excluded.seen, gone = NULL, body = excluded.body, \
                             since = CASE WHEN machines.gone = excluded.seen \
                             THEN COALESCE(machines.since, machines.seen) \
                             ELSE excluded.since END";
            for machine in machines {
                let details = Body {
                    state: machine.state.clone(),
                    bytes: machine.bytes,
                    jobs: machine.jobs.clone(),
                };
                let values = [
                    platform.into(),
                    (&machine.key.id).into(),
                    (&machine.name).into(),
                    now.into(),
                    body(&details)?,
                ];
                transaction.execute(statement, &values)?;
            }
            Ok(())
        })
    }

    /// All machines, by platform and name; also those that are gone.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        self.read(|transaction| {
            let statement = "SELECT platform, id, name, seen, gone, body FROM machines \
                             ORDER BY platform, name";
            let rows = transaction.query(statement, &[])?;
            rows.iter().map(machine).collect()
        })
    }

    /// Since when each platform shows each of its machines without a gap.
    pub fn machines_since(&self) -> Result<Vec<(MachineKey, Timestamp)>> {
        self.read(|transaction| {
            let statement = "SELECT platform, id, COALESCE(since, seen) FROM machines \
                             WHERE gone IS NULL";
            let rows = transaction.query(statement, &[])?;
            let one = |row: &Row| {
                let (platform, id) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
                Ok((MachineKey { platform, id }, row.moment(2)?))
            };
            rows.iter().map(one).collect()
        })
    }

    /// Drops machines that are gone since before a moment.
    pub fn forget_machines(&self, before: Timestamp) -> Result<u64> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM machines WHERE gone < $1", &[before.into()])
        })
    }
}

fn machine(row: &Row) -> Result<Machine> {
    let details: Body = row.body(5)?;
    Ok(Machine {
        key: MachineKey {
            platform: row.text(0)?.to_owned(),
            id: row.text(1)?.to_owned(),
        },
        name: row.text(2)?.to_owned(),
        state: details.state,
        bytes: details.bytes,
        jobs: details.jobs,
        seen: row.moment(3)?,
        gone: row.maybe_integer(4)?.map(moment).transpose()?,
    })
}

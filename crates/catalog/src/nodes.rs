//! Nodes that share the work.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::database::body;
use crate::{Catalog, Result};

/// A process that carries tasks out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// When it last said that it is there.
    pub seen: Timestamp,
    /// By how much its clock is ahead of that of the database; less than nothing if it is behind.
    #[serde(default)]
    pub clock_ahead: SignedDuration,
}

impl Catalog {
    /// Says that a node is there, now, and by how much its clock is ahead of that of the
    /// database; `seen` and `clock_ahead` of `node` are not looked at.
    pub fn greet(&self, node: &Node) -> Result<SignedDuration> {
        self.write(|transaction| {
            let (now, ahead) = self.judged(transaction)?;
            let node = Node {
                clock_ahead: ahead,
                ..node.clone()
            };
            let statement = "INSERT INTO nodes (name, seen, body) VALUES ($1, $2, $3) \
                             ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, \
                             body = excluded.body";
            let values = [(&node.name).into(), now.into(), body(&node)?];
            transaction.execute(statement, &values)?;
            Ok(ahead)
        })
    }

    /// Says that a node ends by itself.
    pub fn take_leave(&self, name: &str) -> Result<()> {
        self.write(|transaction| {
            let statement = "DELETE FROM nodes WHERE name = $1";
            transaction.execute(statement, &[name.into()]).map(drop)
        })
    }

    /// All nodes, also those that were not seen for long.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        self.read(|transaction| {
            let statement = "SELECT body, seen FROM nodes ORDER BY name";
            let rows = transaction.query(statement, &[])?;
            let node = |row: &crate::database::Row| {
                let node: Node = row.body(0)?;
                let seen = row.moment(1)?;
                Ok(Node { seen, ..node })
            };
            rows.iter().map(node).collect()
        })
    }
}

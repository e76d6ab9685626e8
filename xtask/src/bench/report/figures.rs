//! The figures of one row: what each tool took, over all rounds.

use crate::bench::record::{Record, Records};
use crate::bench::rows::Row;
use crate::bench::statistics::Spread;
use crate::bench::tools::LIFEBOAT;

/// What one tool took in one row.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) tool: String,
    pub(crate) wall: Spread,
    pub(crate) durable: Spread,
    pub(crate) cpu: Spread,
    /// In bytes.
    pub(crate) resident: Spread,
    records: Vec<Record>,
}

impl Figure {
    fn of(tool: &str, records: Vec<Record>) -> Option<Self> {
        let spread = |of: fn(&Record) -> f64| Spread::of(records.iter().map(of));
        Some(Self {
            tool: tool.to_owned(),
            wall: spread(|it| it.wall)?,
            durable: spread(|it| it.durable)?,
            cpu: spread(|it| it.cpu)?,
            resident: spread(|it| it.resident as f64)?,
            records,
        })
    }

    /// The median of a count.
    pub(crate) fn count(&self, name: &str) -> Option<f64> {
        let values = self.records.iter().filter_map(|it| it.counts.get(name));
        Spread::of(values.map(|it| *it as f64)).map(|spread| spread.median)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.tool == LIFEBOAT
    }
}

/// Every tool's figures in a row, ours first.
#[derive(Debug)]
pub(crate) struct Figures {
    list: Vec<Figure>,
    /// The tool that is no peer.
    bound: Option<&'static str>,
    /// Every record of the row itself.
    records: Vec<Record>,
}

impl Figures {
    /// Takes the peers from where the row says.
    pub(crate) fn of(row: &Row, records: &Records) -> Self {
        let own: Vec<Record> = records.of(row.name).into_iter().cloned().collect();
        let mut measured = own.clone();
        if let Some(other) = row.peers_row {
            measured.retain(|it| it.tool == LIFEBOAT);
            let peers = records.of(other).into_iter();
            measured.extend(peers.filter(|it| it.tool != LIFEBOAT).cloned());
        }
        measured.retain(Record::is_figure);
        let mut tools: Vec<_> = measured.iter().map(|it| it.tool.clone()).collect();
        tools.sort_by_key(|tool| (tool != LIFEBOAT, tool.clone()));
        tools.dedup();
        let of_tool = |tool: &String| {
            let records = measured.iter().filter(|it| it.tool == *tool);
            Figure::of(tool, records.cloned().collect())
        };
        Self {
            list: tools.iter().filter_map(of_tool).collect(),
            bound: row.bound,
            records: own,
        }
    }

    pub(crate) fn all(&self) -> &[Figure] {
        &self.list
    }

    pub(crate) fn named(&self, tool: &str) -> Option<&Figure> {
        self.list.iter().find(|it| it.tool == tool)
    }

    pub(crate) fn ours(&self) -> Option<&Figure> {
        self.named(LIFEBOAT)
    }

    /// The peer with the smallest value.
    pub(crate) fn best(&self, value: impl Fn(&Figure) -> Option<f64>) -> Option<(&str, f64)> {
        let is_peer = |it: &&Figure| !it.is_ours() && self.bound != Some(it.tool.as_str());
        let peers = self.list.iter().filter(is_peer);
        let values = peers.filter_map(|it| Some((it.tool.as_str(), value(it)?)));
        values.min_by(|one, two| one.1.total_cmp(&two.1))
    }

    /// Tools with their versions.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let records = self.records.iter().filter(|it| it.is_figure());
        records
            .map(|it| (it.tool.clone(), it.version.clone()))
            .collect()
    }

    /// What was typed, once for each tool.
    pub(crate) fn commands(&self) -> Vec<(&str, &str)> {
        let typed = self.records.iter().filter(|it| !it.command.is_empty());
        let mut found: Vec<_> = typed
            .map(|it| (it.tool.as_str(), it.command.as_str()))
            .collect();
        found.sort_by_key(|(tool, _)| (*tool != LIFEBOAT, *tool));
        found.dedup_by_key(|(tool, _)| *tool);
        found
    }

    /// Who failed and who could not even try, as sentences.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for record in &self.records {
            if let Some(words) = &record.failed {
                let first = words.lines().next().unwrap_or_default();
                let (tool, round) = (&record.tool, record.round);
                sentences.push(format!("{tool} failed in round {round}: {first}"));
            }
        }
        let unable = self.records.iter().filter(|it| it.is_impossible);
        let mut unable: Vec<_> = unable.map(|it| it.tool.as_str()).collect();
        unable.sort_unstable();
        unable.dedup();
        if !unable.is_empty() {
            sentences.push(format!("has no such thing: {}", unable.join(", ")));
        }
        sentences
    }
}

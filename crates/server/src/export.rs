//! The rows of the catalog, line by line.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as In;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use lifeboat_catalog::{Catalog, Result, RunFilter, RunId, TaskFilter, TaskId};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::refusal::Answer;
use crate::state::State;

/// Rows that are read at once.
const PAGE: u32 = 1_000;
/// Lines are sent in pieces of about so many bytes.
const PIECE: usize = 64 * 1024;

/// Every row that the catalog can give, as lines of JSON: `{"kind": ..., "row": ...}`. Secrets
/// and their digests are not among them. The last line has the kind `end`.
#[utoipa::path(get, path = "/api/v1/catalog",
    responses((status = 200, body = String, content_type = "application/jsonl")))]
pub(crate) async fn catalog(In(state): In<Arc<State>>) -> Answer<Response> {
    let (sender, receiver) = mpsc::channel(4);
    let reader = Arc::clone(&state);
    tokio::task::spawn_blocking(move || {
        let mut lines = Lines {
            piece: Vec::new(),
            to: sender,
        };
        // Whoever reads sees by the missing last line that it broke off.
        let _ = write(reader.node.catalog(), &mut lines);
        lines.send();
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(CONTENT_TYPE, "application/jsonl")], body).into_response())
}

struct Lines {
    piece: Vec<u8>,
    to: mpsc::Sender<std::result::Result<Bytes, Infallible>>,
}

impl Lines {
    fn all<T: Serialize>(&mut self, kind: &str, rows: impl IntoIterator<Item = T>) {
        for row in rows {
            self.one(kind, &row);
        }
    }

    fn one(&mut self, kind: &str, row: &impl Serialize) {
        if serde_json::to_writer(&mut self.piece, &json!({"kind": kind, "row": row})).is_ok() {
            self.piece.push(b'\n');
        }
        if self.piece.len() >= PIECE {
            self.send();
        }
    }

    fn send(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        // A client that has gone needs no more.
        let _ = self.to.blocking_send(Ok(piece.into()));
    }

    fn is_over(&self) -> bool {
        self.to.is_closed()
    }
}

fn write(catalog: &Catalog, lines: &mut Lines) -> Result<()> {
    lines.all("machine", catalog.machines()?);
    lines.all("repository", catalog.repositories()?);
    lines.all("point", catalog.points(None, u32::MAX)?);
    lines.all("proof", catalog.proofs(None, u32::MAX)?);
    let since = jiff::Timestamp::UNIX_EPOCH;
    lines.all("alert", catalog.alerts_since(since, u32::MAX)?);
    write_runs(catalog, lines)?;
    write_tasks(catalog, lines)?;
    let mut before = None;
    while !lines.is_over() {
        let entries = catalog.audit_entries(before, PAGE)?;
        before = entries.last().map(|entry| entry.number);
        lines.all("audit", entries);
        if before.is_none() {
            break;
        }
    }
    lines.one("end", &());
    Ok(())
}

fn write_runs(catalog: &Catalog, lines: &mut Lines) -> Result<()> {
    let mut before: Option<RunId> = None;
    while !lines.is_over() {
        let filter = RunFilter {
            before,
            count: PAGE,
            ..RunFilter::default()
        };
        let runs = catalog.runs(&filter)?;
        before = runs.last().map(|run| run.id);
        lines.all("run", runs);
        if before.is_none() {
            break;
        }
    }
    Ok(())
}

fn write_tasks(catalog: &Catalog, lines: &mut Lines) -> Result<()> {
    let mut before: Option<TaskId> = None;
    while !lines.is_over() {
        let filter = TaskFilter {
            before,
            count: PAGE,
            ..TaskFilter::default()
        };
        let tasks = catalog.tasks(&filter)?;
        before = tasks.last().map(|task| task.id);
        lines.all("task", tasks);
        if before.is_none() {
            break;
        }
    }
    Ok(())
}

//! What is measured, as Prometheus reads it. The names stand in `docs/operating/metrics.md`.

mod families;
mod text;

use std::sync::Arc;

use axum::extract::{MatchedPath, State as In};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::refusal::Answer;
use crate::state::State;

pub(crate) use text::Format;

/// Which metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All.
    Everything,
    /// Those of machines and repositories.
    Backups,
}

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics at `/metrics`, those of the backups at `/metrics/backups`.
pub(crate) async fn metrics(
    In(state): In<Arc<State>>,
    path: MatchedPath,
    headers: HeaderMap,
) -> Answer<Response> {
    let part = match path.as_str() {
        "/metrics/backups" => Part::Backups,
        _ => Part::Everything,
    };
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_open = accepted.is_some_and(|text| text.contains("application/openmetrics-text"));
    let (format, kind) = match is_open {
        true => (Format::OpenMetrics, OPEN_METRICS),
        false => (Format::Prometheus, PROMETHEUS),
    };
    let work = state.work(move |state| families::write(&state.node, part, format));
    Ok(([(CONTENT_TYPE, kind)], work.await??).into_response())
}

/// All metrics, for the collector of text files of node_exporter: whoever writes the file puts
/// it into its place as a whole.
///
/// Errors: those of the node and its catalog.
pub fn textfile(node: &lifeboat_scheduler::Node) -> lifeboat_scheduler::Result<String> {
    families::write(node, Part::Everything, Format::Prometheus)
}

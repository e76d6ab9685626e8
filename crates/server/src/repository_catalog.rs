//! The catalog of a repository: a document of every snapshot's record and Merkle roots.
//!
//! It is exported, compared with what the repository holds, and lost records are brought back from
//! it, by the commands of this very program. Bringing back is planned first; who applies names the
//! document that was planned by its digest.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as In};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use lifeboat_api::FailureKind;
use lifeboat_model::ErrorKind;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use utoipa::IntoParams;

use crate::accounts::new_secret;
use crate::commands::{self, Failed};
use crate::extract::{Asked, At};
use crate::guard::noted;
use crate::refusal::{Answer, Refusal};
use crate::state::State;
use crate::visitor::digits;

/// Catalogs that are worked on at the same time.
pub(crate) const TURNS: usize = 2;
/// The answer begins after this, also if nothing was said yet.
const PATIENCE: Duration = Duration::from_secs(20);
/// An empty line goes out when nothing was said for so long: the connection is kept.
const SILENCE: Duration = Duration::from_secs(15);

/// What comes back to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One document: one that broke off is seen by that.
    Document,
    /// Lines of JSON; the last one is a summary or says why it failed.
    Lines,
}

/// A document that was sent; it goes with this.
struct Upload {
    path: PathBuf,
    digest: String,
    bytes: u64,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The next start of the service removes what is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a request brings a catalog along.
pub(crate) fn is_upload(path: &str) -> bool {
    path.strip_prefix("/api/v1/repositories/")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, rest)| rest == "catalog" || rest.starts_with("catalog/"))
}

/// Every snapshot of a repository with its record and Merkle roots, as one document.
#[utoipa::path(get, path = "/api/v1/repositories/{name}/catalog",
    params(("name" = String, Path)), responses((status = 200, body = Object)))]
pub(crate) async fn export(In(state): In<Arc<State>>, At(name): At<String>) -> Answer<Response> {
    let place = known(&state, &name)?;
    let words = ["catalog", "export", "--repo", &place, "--quiet"];
    command(&state, &words, Form::Document, None).await
}

/// Says what bringing lost records back from a catalog would do, as lines of JSON: the catalog's
/// digest, `plan` for each snapshot that is missing, and at last `summary`, or `exit_error`.
#[utoipa::path(post, path = "/api/v1/repositories/{name}/catalog/plan",
    params(("name" = String, Path)), request_body = Object,
    responses((status = 200, body = String, content_type = "application/jsonl")))]
pub(crate) async fn plan(
    In(state): In<Arc<State>>,
    At(name): At<String>,
    request: Request,
) -> Answer<Response> {
    with_upload(&state, &name, request, &["import", "--dry-run"], None).await
}

/// Which plan is to be done.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportAsked {
    /// The digest of the catalog, as its plan gave it: SHA-256 in hexadecimal digits.
    #[param(pattern = "^[0-9a-f]{64}$")]
    plan: String,
}

/// Brings lost records back from a catalog that was planned before, as lines of JSON: `plan`,
/// `restored` for each, and at last `summary`, or `exit_error`.
#[utoipa::path(post, path = "/api/v1/repositories/{name}/catalog",
    params(("name" = String, Path), ImportAsked), request_body = Object,
    responses((status = 200, body = String, content_type = "application/jsonl")))]
pub(crate) async fn import(
    In(state): In<Arc<State>>,
    At(name): At<String>,
    Asked(asked): Asked<ImportAsked>,
    request: Request,
) -> Answer<Response> {
    with_upload(&state, &name, request, &["import"], Some(asked.plan)).await
}

/// Compares the Merkle roots of a catalog with those that a repository has now, as lines of JSON:
/// `difference` for each, and at last `summary`, or `exit_error`.
#[utoipa::path(post, path = "/api/v1/repositories/{name}/catalog/verify",
    params(("name" = String, Path)), request_body = Object,
    responses((status = 200, body = String, content_type = "application/jsonl")))]
pub(crate) async fn verify(
    In(state): In<Arc<State>>,
    At(name): At<String>,
    request: Request,
) -> Answer<Response> {
    with_upload(&state, &name, request, &["compare"], None).await
}

/// A repository as words name it.
fn known(state: &State, name: &str) -> Answer<String> {
    match state.node.settings().repositories.contains_key(name) {
        true => Ok(format!("@{name}")),
        false => {
            let text = format!("there is no repository \"{name}\"");
            let hint = "GET /api/v1/repositories lists them";
            Err(Refusal::missing(text).with_hint(hint))
        }
    }
}

async fn with_upload(
    state: &Arc<State>,
    name: &str,
    request: Request,
    does: &[&str],
    planned: Option<String>,
) -> Answer<Response> {
    let place = known(state, name)?;
    let upload = receive(state, request).await?;
    let details = format!("catalog {}, {} bytes", upload.digest, upload.bytes);
    if planned.is_some_and(|planned| planned != upload.digest) {
        let text = "this is not the catalog that was planned";
        let refusal = Refusal::new(FailureKind::Conflict, text);
        let hint = "ask for its plan, look at it, and send the same bytes with that digest";
        return Ok(noted(refusal.with_hint(hint), details));
    }
    let path = upload.path.display().to_string();
    let words = [&["catalog"], does, &["--repo", &place, "--", &path]].concat();
    match command(state, &words, Form::Lines, Some(upload)).await {
        Ok(answer) => Ok(noted(answer, details)),
        Err(refusal) => Ok(noted(refusal, details)),
    }
}

/// Keeps what is sent in a file.
async fn receive(state: &Arc<State>, request: Request) -> Answer<Upload> {
    let commands = commands::of(state)?;
    let name = new_secret(&*state.entropy);
    let mut upload = Upload {
        path: commands.folder().join(name),
        digest: String::new(),
        bytes: 0,
    };
    let failed = |error: std::io::Error| {
        let text = format!("cannot keep what is sent: {error}");
        Refusal::new(FailureKind::of(ErrorKind::of_io(&error)), text)
            .with_hint("make room below the service's state folder")
    };
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    let mut file: File = file.open(&upload.path).await.map_err(failed)?;
    let mut hash = Sha256::new();
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| {
            let text = format!("the catalog broke off after {} bytes", upload.bytes);
            Refusal::invalid(text).with_hint("send it again as a whole")
        })?;
        upload.bytes += piece.len() as u64;
        if upload.bytes > state.upload_max {
            let text = format!("the catalog is larger than {} bytes", state.upload_max);
            let hint = "import it by the command: lifeboat catalog import";
            return Err(Refusal::new(FailureKind::TooLarge, text).with_hint(hint));
        }
        hash.update(&piece);
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    upload.digest = digits(&hash.finalize());
    Ok(upload)
}

/// Runs a command and gives what it says. One that fails before it says anything is a refusal.
async fn command(
    state: &Arc<State>,
    words: &[&str],
    form: Form,
    upload: Option<Upload>,
) -> Answer<Response> {
    let commands = commands::of(state)?;
    let turn = Arc::clone(&state.catalog_turns).try_acquire_owned();
    let turn = turn.map_err(|_| {
        let text = format!("{TURNS} catalogs are worked on already");
        Refusal::new(FailureKind::Unavailable, text).with_hint("try again when they are done")
    })?;
    let words = words.iter().map(OsString::from).collect();
    let first = upload.as_ref().map(|upload| {
        let line = json!({"message_type": "catalog", "digest": upload.digest});
        format!("{line}\n").into_bytes()
    });
    let path = upload.as_ref().map(|it| it.path.display().to_string());
    let told = move |(kind, text): Failed| match &path {
        Some(path) => (kind, text.replace(path, "what was sent")),
        None => (kind, text),
    };
    let said = commands::begin(commands, words, u64::MAX, (turn, upload));
    let mut said = said.map(move |piece| piece.map_err(&told));
    let begin = match timeout(PATIENCE, said.next()).await {
        Ok(Some(Err((kind, text)))) => return Err(Refusal::new(FailureKind::of(kind), text)),
        Ok(Some(Ok(piece))) => piece,
        Ok(None) => Bytes::new(),
        Err(_) => Bytes::from_static(b"\n"),
    };
    let (pieces, body) = mpsc::channel(4);
    let begin = [first.unwrap_or_default().into(), begin].concat();
    tokio::spawn(pass_on(form, begin, said, pieces));
    let kind = match form {
        Form::Document => "application/json",
        Form::Lines => "application/jsonl",
    };
    let body = Body::from_stream(ReceiverStream::new(body));
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

type Piece = Result<Bytes, std::io::Error>;

/// Gives what is said to whoever reads, and empty lines while nothing is said: between lines, and
/// before a document, they mean nothing.
async fn pass_on(
    form: Form,
    begin: Vec<u8>,
    mut said: impl Stream<Item = Result<Bytes, Failed>> + Unpin,
    pieces: mpsc::Sender<Piece>,
) {
    let mut is_between = begin.ends_with(b"\n");
    if pieces.send(Ok(begin.into())).await.is_err() {
        return;
    }
    loop {
        let piece = match timeout(SILENCE, said.next()).await {
            Err(_) if is_between => Ok(Bytes::from_static(b"\n")),
            Err(_) => continue,
            Ok(None) => return,
            Ok(Some(Ok(piece))) => {
                is_between = form == Form::Lines && piece.ends_with(b"\n");
                Ok(piece)
            }
            Ok(Some(Err((_, text)))) if form == Form::Lines => {
                let line = json!({"message_type": "exit_error", "message": text});
                Ok(Bytes::from(format!("{line}\n")))
            }
            Ok(Some(Err((_, text)))) => Err(std::io::Error::other(text)),
        };
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

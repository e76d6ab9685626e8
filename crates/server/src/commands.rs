//! Commands of this very program that answers are made of: begun, read, and stopped as soon as
//! nobody reads them any more.
//!
//! Takes words of the command line and gives what the command prints, and why it failed.
//! Does not start processes: whoever runs the server brings that along.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use lifeboat_api::FailureKind;
use lifeboat_model::{CancelToken, ErrorKind};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use crate::refusal::{Answer, Refusal};
use crate::state::State;

/// Limit: bytes of a line.
const LINE_BYTES_MAX: usize = 256 << 20;
/// Pieces that wait for their reader.
const WAITING: usize = 4;

/// Commands of this program that answers are made of.
pub trait Commands: Send + Sync {
    /// Runs one to its end. `take` is given what it prints, piece by piece, and says whether
    /// somebody still reads; if nobody does, or `cancel` is set, it is stopped.
    ///
    /// Errors: why it failed, as it said itself; findings are no failure.
    fn run(
        &self,
        words: &[OsString],
        cancel: &CancelToken,
        take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
    ) -> Result<(), Failed>;

    /// The folder for what is sent, which nobody else reads.
    fn folder(&self) -> PathBuf;
}

/// Why a command failed: the kind, and what it said.
pub(crate) type Failed = (ErrorKind, String);

/// Who runs commands.
///
/// Errors: `Unsupported` if nobody does.
pub(crate) fn of(state: &State) -> Answer<Arc<dyn Commands>> {
    state.commands.clone().ok_or_else(|| {
        let text = "this server was started without a way to run commands";
        let hint = "run the lifeboat command itself that stands beside it";
        Refusal::new(FailureKind::Unsupported, text).with_hint(hint)
    })
}

/// Begins a command that may print so many bytes. What it prints comes piece by piece, and at last
/// why it failed; it is stopped when nobody takes that any more. `kept` is held until it has ended.
pub(crate) fn begin(
    commands: Arc<dyn Commands>,
    words: Vec<OsString>,
    bytes_max: u64,
    kept: impl Send + 'static,
) -> impl Stream<Item = Result<Bytes, Failed>> + Send + Unpin {
    let (sender, pieces) = mpsc::channel(WAITING);
    let cancel = CancelToken::new();
    let stop = Stop(cancel.clone());
    spawn_blocking(move || {
        let mut left = Some(bytes_max);
        let ended = commands.run(&words, &cancel, &mut |piece| {
            left = left.and_then(|left| left.checked_sub(piece.len() as u64));
            left.is_some() && sender.blocking_send(Ok(piece.into())).is_ok()
        });
        let failed = match left {
            Some(_) => ended.err(),
            None => {
                let text = format!("it is longer than {bytes_max} bytes");
                Some((ErrorKind::Io, text))
            }
        };
        // Whoever asked may have gone.
        let _ = failed.map(|failed| sender.blocking_send(Err(failed)));
        drop(kept);
    });
    ReceiverStream::new(pieces).map(move |piece| {
        let _ = &stop;
        piece
    })
}

/// Gives `take` each line that a command prints, and nothing after the last.
///
/// Errors: what it said, or that it took longer than `patience`; it has ended then, too.
pub(crate) async fn lines(
    commands: Arc<dyn Commands>,
    words: Vec<OsString>,
    patience: Duration,
    mut take: impl FnMut(Option<&[u8]>) + Send + 'static,
) -> Result<(), String> {
    let cancel = CancelToken::new();
    let stop = Stop(cancel.clone());
    let mut work = spawn_blocking(move || {
        let mut line = Vec::new();
        let mut is_too_long = false;
        let ended = commands.run(&words, &cancel, &mut |piece| {
            let mut parts = piece.split(|byte| *byte == b'\n');
            line.extend_from_slice(parts.next().unwrap_or_default());
            for part in parts {
                take(Some(line.trim_ascii()));
                line.clear();
                line.extend_from_slice(part);
            }
            is_too_long = line.len() > LINE_BYTES_MAX;
            !is_too_long
        });
        if is_too_long {
            return Err(format!(
                "it told a line of more than {LINE_BYTES_MAX} bytes"
            ));
        }
        take(None);
        ended.map_err(|(_, text)| text)
    });
    let (ended, is_late) = match timeout(patience, &mut work).await {
        Ok(ended) => (ended, false),
        Err(_) => {
            drop(stop);
            (work.await, true)
        }
    };
    match ended {
        _ if is_late => Err(format!("no end after {} s", patience.as_secs())),
        Ok(ended) => ended,
        Err(_) => Err("the work was broken off".to_owned()),
    }
}

/// Stops a command when nobody waits for it any more.
struct Stop(CancelToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

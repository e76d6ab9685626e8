//! What changes, as it changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as In;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use lifeboat_api as api;
use lifeboat_api::FailureKind;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::refusal::{Answer, Refusal};
use crate::shapes;
use crate::state::State;

/// Clients that listen at the same time.
pub(crate) const LISTENERS: usize = 64;
/// Events that are read at once, and that wait for a slow client.
const PAGE: u32 = 256;
/// A sign of life is sent after so long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the catalog is asked for news, once for all who listen.
const LOOK: Duration = Duration::from_millis(500);

/// What changes, as it changes: events of the kind `text/event-stream`, after `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v1/events",
    params(("Last-Event-ID" = Option<i64>, Header,
        description = "The number of the last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn events(In(state): In<Arc<State>>, headers: HeaderMap) -> Answer<Response> {
    let seen = last_seen(&headers)?;
    let place = Arc::clone(&state.listeners).try_acquire_owned();
    let place = place.map_err(|_| {
        let text = format!("{LISTENERS} clients listen already");
        Refusal::new(FailureKind::Unavailable, text)
    })?;
    let seen = match seen {
        Some(seen) => seen,
        None => {
            state
                .work(|state| state.node.catalog().newest_event())
                .await??
        }
    };
    let (sender, receiver) = mpsc::channel(PAGE as usize);
    tokio::spawn(tell(state, seen, sender, place));
    let stream = Sse::new(ReceiverStream::new(receiver));
    Ok(stream
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response())
}

fn last_seen(headers: &HeaderMap) -> Answer<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    match number {
        Some(number @ 0..) => Ok(Some(number)),
        _ => Err(Refusal::invalid(
            "Last-Event-ID is a whole number, 0 or greater",
        )),
    }
}

type Listener = mpsc::Sender<Result<Event, Infallible>>;

/// Sends events until the client goes or the server stops.
async fn tell(state: Arc<State>, seen: i64, to: Listener, _place: OwnedSemaphorePermit) {
    let (mut seen, mut newest) = (seen, state.newest_event.subscribe());
    let mut stop = state.stop.subscribe();
    loop {
        let read = state.work(move |state| state.node.catalog().events_after(seen, PAGE));
        let Ok(Ok(events)) = read.await else { return };
        for event in &events {
            let has_gap = event.number > seen + 1;
            if has_gap && to.send(Ok(gap(event.number))).await.is_err() {
                return;
            }
            seen = event.number;
            if to.send(Ok(shown(event.clone()))).await.is_err() {
                return;
            }
        }
        if events.len() == PAGE as usize {
            continue;
        }
        tokio::select! {
            changed = newest.wait_for(|newest| *newest > seen) => if changed.is_err() { return },
            _ = stop.wait_for(|is_stopped| *is_stopped) => return,
            () = to.closed() => return,
        }
    }
}

fn gap(before: i64) -> Event {
    sse(&api::Event {
        number: before - 1,
        kind: "gap".to_owned(),
        subject: String::new(),
        state: String::new(),
    })
}

fn shown(event: lifeboat_catalog::Event) -> Event {
    sse(&shapes::event(event))
}

fn sse(event: &api::Event) -> Event {
    let text = serde_json::to_string(event).unwrap_or_default();
    Event::default().id(event.number.to_string()).data(text)
}

/// Asks the catalog for news, for all who listen, until the server stops.
pub(crate) async fn look_for_news(state: Arc<State>) {
    let mut stop = state.stop.subscribe();
    loop {
        if state.newest_event.receiver_count() > 0 {
            let newest = state
                .work(|state| state.node.catalog().newest_event())
                .await;
            if let Ok(Ok(number)) = newest {
                state.newest_event.send_if_modified(|newest| {
                    let is_new = number > *newest;
                    *newest = number.max(*newest);
                    is_new
                });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|is_stopped| *is_stopped) => return,
        }
    }
}

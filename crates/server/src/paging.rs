//! Parts of lists: the header `Link` of one leads to the next.

use axum::Json;
use axum::http::header::LINK;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use lifeboat_api::escaped;
use serde::Serialize;

/// A part of a list.
pub(crate) struct Part<T> {
    rows: Vec<T>,
    next: Option<String>,
}

/// The first `count` rows; `place` gives name and value of the query that asks for what follows
/// a row. A row more than `count` says that there is more.
pub(crate) fn part<T, U>(
    uri: &Uri,
    (mut rows, count): (Vec<T>, u32),
    place: impl Fn(&T) -> (&'static str, String),
    shape: impl FnMut(T) -> U,
) -> Part<U> {
    let count = count as usize;
    let is_more = rows.len() > count;
    rows.truncate(count);
    let last = rows.last().filter(|_| is_more);
    let next = last.map(|last| following(uri, &place(last)));
    Part {
        rows: rows.into_iter().map(shape).collect(),
        next,
    }
}

/// The same question, for what follows.
fn following(uri: &Uri, (name, value): &(&str, String)) -> String {
    let query = uri.query().unwrap_or_default();
    let is_other = |pair: &&str| {
        let key = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && key != *name
    };
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(is_other)
        .map(str::to_owned)
        .collect();
    pairs.push(format!("{name}={}", escaped(value)));
    format!("{}?{}", uri.path(), pairs.join("&"))
}

impl<T: Serialize> IntoResponse for Part<T> {
    fn into_response(self) -> Response {
        let mut answer = Json(self.rows).into_response();
        let link = self.next.map(|next| format!("<{next}>; rel=\"next\""));
        // Whatever a query has is a header's, too.
        if let Some(Ok(link)) = link.map(|link| HeaderValue::from_str(&link)) {
            answer.headers_mut().insert(LINK, link);
        }
        answer
    }
}

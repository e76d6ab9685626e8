//! The dashboard.
//!
//! Pages are read by `GET` here. The forms `POST /login` (fields `name`, `password`),
//! `POST /logout` (field `form_key`) and `POST /setup` (fields `key`, `name`, `password`) are
//! answered by the server itself: with `303` to `/`, or back to `/login?failed=1` and
//! `/setup?failed=1`. All other changes go through `/api/v1` with the header
//! `X-Lifeboat-Form-Key`.

use std::sync::Arc;

use crate::state::State;

/// All pages.
pub(crate) fn router() -> axum::Router<Arc<State>> {
    axum::Router::new()
}

//! From addresses to the pages of a point: how it is brought back, and what is in it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, RawQuery, State as In};
use axum::response::{IntoResponse, Redirect, Response};
use lifeboat_catalog::Role;

use super::super::{BrowseView, InsidePlace, Looked, RestoreQuery, RestoreView};
use super::{Asked, Look, POINTS, Shared, page};
use crate::browse::raw_value;
use crate::lookup::missing;
use crate::refusal::{Answer, Refusal};
use crate::state::State;
use crate::visitor::Visitor;

pub(super) async fn restore(
    In(state): Shared,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Asked,
) -> Response {
    let query = restore_query(&asked);
    let may = matches!(visitor.role, Role::Restore | Role::Admin);
    let planned = match query.is_planned && may {
        true => planned(&state, (&name, asked.get("platform")), &query).await,
        false => None,
    };
    page(&state, visitor, asked, move |look| {
        let (overview, asked) = (look.overview()?, look.platform());
        let found = overview.named(&name, asked);
        let machine = match found.as_slice() {
            [] => return Err(missing(&name, asked)),
            [one] => one,
            several => return Ok(crate::pages::which_page(look.frame, several, "restore")),
        };
        let (node, platform) = (&look.state.node, machine.distinct_platform());
        let is_rto = |it: &&lifeboat_scheduler::ObjectiveStatus| {
            it.kind == lifeboat_scheduler::ObjectiveKind::Rto
        };
        let settings = node.settings();
        let platforms = settings.platforms.iter();
        let platforms: Vec<_> = platforms
            .filter(|(_, it)| it.makes_machines())
            .map(|(name, _)| name.clone())
            .collect();
        let view = RestoreView {
            machine,
            points: &node.points_of(&name, platform, POINTS)?,
            platforms: &platforms,
            measured_seconds: machine
                .objectives
                .iter()
                .find(is_rto)
                .and_then(|it| it.measured),
            planned: planned.as_ref(),
        };
        Ok(crate::pages::restore_page(look.frame, &view, &query))
    })
    .await
}

fn restore_query(asked: &HashMap<String, String>) -> RestoreQuery {
    let text = |name: &str| asked.get(name).cloned().unwrap_or_default();
    RestoreQuery {
        point: text("point"),
        repository: text("repository"),
        platform: text("target"),
        name: text("name").trim().to_owned(),
        to: text("to").trim().to_owned(),
        is_started: !text("started").is_empty(),
        is_replacing: !text("replacing").is_empty(),
        is_planned: !text("planned").is_empty(),
    }
}

/// What a recovery would do; none if there is no such machine or point.
async fn planned(
    state: &Arc<State>,
    (name, platform): (&str, Option<&String>),
    query: &RestoreQuery,
) -> Option<Result<crate::pages::RecoveryPlan, String>> {
    let (machine, asked) = (name.to_owned(), query.clone());
    let platform = platform.filter(|it| !it.is_empty()).cloned();
    let found = state.work(move |state| {
        let overview = state.node.overview()?;
        let named = overview.named(&machine, platform.as_deref());
        let [machine] = named.as_slice() else {
            return Ok(None);
        };
        let shared = machine.distinct_platform();
        let points = state.node.points_of(&machine.name, shared, POINTS)?;
        let point = crate::pages::restore::meant(&points, &asked.point, &asked.repository);
        let place = (machine.name.as_str(), machine.platform.as_str());
        Ok::<_, Refusal>(point.map(|point| crate::pages::restore::request(&asked, place, point)))
    });
    let request = found.await.ok()?.ok()??;
    Some(crate::recovery::plan(state, name, &request).await)
}

/// Whether a machine of that platform can be brought back by a page.
pub(super) fn can_restore(look: &Look<'_>, platform: &str) -> bool {
    let settings = look.state.node.settings();
    settings
        .platforms
        .get(platform)
        .is_none_or(|it| it.makes_machines())
}

/// The address that says which point is meant: the newest one may be another at the next look.
fn pinned(
    state: &State,
    machine: &str,
    asked: &HashMap<String, String>,
    query: Option<&str>,
) -> Answer<Option<String>> {
    let text = |name: &str| asked.get(name).map_or("", String::as_str);
    let asked = Some(text("platform")).filter(|it| !it.is_empty());
    let overview = state.node.overview()?;
    let platform = match overview.named(machine, asked).as_slice() {
        [] => asked,
        [one] => one.distinct_platform(),
        _ => return Ok(None),
    };
    let points = state.node.points_of(machine, platform, POINTS)?;
    let Some(point) = crate::pages::restore::meant(&points, text("point"), text("repository"))
    else {
        return Ok(None);
    };
    let mut address = crate::pages::browse::address_of((machine, platform), point);
    if let Some(path) = raw_value(query.unwrap_or_default(), "path") {
        address += &format!("&path={}", crate::pages::escape_bytes(&path));
    }
    Ok(Some(address))
}

pub(super) async fn browse(
    In(state): Shared,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Asked,
    RawQuery(query): RawQuery,
) -> Response {
    let is_pinned = |word: &str| asked.get(word).is_some_and(|it| !it.is_empty());
    if !is_pinned("point") || !is_pinned("repository") {
        let (name, asked, query) = (name.clone(), asked.clone(), query.clone());
        let pinned = state.work(move |state| pinned(state, &name, &asked, query.as_deref()));
        if let Ok(Ok(Some(address))) = pinned.await {
            return Redirect::to(&address).into_response();
        }
    }
    page(&state, visitor, asked, move |look| {
        if !look.frame.may(Role::Restore) {
            let text = "files inside machines are for those who may restore them";
            return Err(Refusal::new(lifeboat_api::FailureKind::Denied, text));
        }
        let (overview, asked) = (look.overview()?, look.platform());
        let found = overview.named(&name, asked);
        let platform = match found.as_slice() {
            // What is left of one that is gone can be looked into.
            [] => asked,
            [one] => one.distinct_platform(),
            several => return Ok(crate::pages::which_page(look.frame, several, "browse")),
        };
        let points = look.state.node.points_of(&name, platform, POINTS)?;
        let (id, repository) = (look.text("point"), look.text("repository"));
        let point = crate::pages::restore::meant(&points, id, repository);
        let path = raw_value(query.as_deref().unwrap_or_default(), "path");
        let place = match path.filter(|path| !path.is_empty()) {
            Some(path) => InsidePlace::Path(path),
            None => InsidePlace::Volumes,
        };
        // Whoever loads the page wants another try; what renews itself does not.
        let is_again = !look.frame.is_fragment;
        let known = |place: &InsidePlace| match point {
            Some(point) => crate::browse::look(look.state, point, place, is_again),
            None => Looked::Failed(String::new()),
        };
        let view = BrowseView {
            machine: &name,
            platform,
            point,
            points: &points,
            place: &place,
            can_restore: point
                .and_then(|point| point.platform.as_deref())
                .is_none_or(|platform| can_restore(look, platform)),
            looked: &known(&place),
            stored: &known(&InsidePlace::Stored),
            text: look.text("q"),
            page: look.page(),
        };
        Ok(crate::pages::browse_page(look.frame, &view))
    })
    .await
}

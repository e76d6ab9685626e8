//! The document that describes the API.

use std::sync::{Arc, OnceLock};

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use lifeboat_api::Failure;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, Header, Object, OpenApi as Document, Ref, RefOr, ResponseBuilder, Type,
};
use utoipa::{Modify, OpenApi};

use crate::routes::{Access, ROUTES};
use crate::visitor::COOKIE_NAME;
use crate::{act, browse, events, export, login, look, people, repository_catalog, simulation};

/// The paths of the document; whoever may use them is told by the table of routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "lifeboat",
        description = "Backups of virtual machines: runs, recovery points, restores.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/")),
    paths(
        look::health, look::overview, look::machines, look::machine, look::points, browse::files,
        browse::file, look::runs,
        look::run, look::tasks, look::task, look::log, look::jobs, simulation::simulate,
        look::upcoming, look::repositories, look::sizes, look::alerts, look::config,
        look::audit, look::verify_audit, act::begin, act::restore, act::cancel_run,
        act::cancel_task, act::plan_retry, act::retry_task, act::acknowledge, act::rebuild,
        people::me, people::change_password, people::users, people::add_user,
        people::change_user, people::remove_user, people::tokens, people::add_token,
        people::remove_token, repository_catalog::export, repository_catalog::import,
        repository_catalog::plan, repository_catalog::verify, login::sign_in, login::sign_out,
        login::set_up, events::events, export::catalog,
    ),
    components(schemas(Failure)),
    modifiers(&Shared),
)]
struct Described;

/// What all paths have: who may, and how refusals look.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        components.add_security_scheme("token", SecurityScheme::Http(token.build()));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(COOKIE_NAME));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        for route in &ROUTES {
            let Some(item) = document.paths.paths.get_mut(route.path) else {
                continue;
            };
            let operation = match route.method {
                "POST" => item.post.as_mut(),
                "PATCH" => item.patch.as_mut(),
                "DELETE" => item.delete.as_mut(),
                _ => item.get.as_mut(),
            };
            let Some(operation) = operation else { continue };
            operation.tags = None;
            let content = Content::new(Some(Ref::from_schema_name("Failure")));
            let refusal = ResponseBuilder::new()
                .description("Refused")
                .content("application/json", content);
            let parameters = operation.parameters.iter().flatten();
            let is_part = parameters.into_iter().any(|it| it.name == "count");
            let responses = &mut operation.responses.responses;
            if let (true, Some(RefOr::T(answer))) = (is_part, responses.get_mut("200")) {
                answer.headers.insert("Link".to_owned(), link());
            }
            responses.insert("default".to_owned(), RefOr::T(refusal.build()));
            if route.access != Access::Open {
                let none = Vec::<String>::new();
                let ways = ["token", "session"];
                let ways = ways.map(|way| SecurityRequirement::new(way, none.clone()));
                operation.security = Some(ways.into());
            }
        }
    }
}

/// The header of lists that leads to the next part.
fn link() -> Header {
    let mut header = Header::new(Object::with_type(Type::String));
    let text = "Where the next part of the list is: `</api/v1/...>; rel=\"next\"`. Without it \
                this is the last part.";
    header.description = Some(text.to_owned());
    header
}

/// The document as text.
pub fn openapi() -> String {
    let document = Described::openapi();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This document.
pub(crate) async fn document() -> impl IntoResponse {
    static TEXT: OnceLock<Arc<str>> = OnceLock::new();
    let text = TEXT.get_or_init(|| openapi().into());
    ([(CONTENT_TYPE, "application/json")], text.to_string())
}

//! Every route of the API, and who may use it: one table.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use lifeboat_catalog::Role;

use crate::guard::{Post, guard, unknown_path, wrong_method};
use crate::state::State;
use crate::{
    act, browse, events, export, login, look, metrics, openapi, people, repository_catalog,
    simulation,
};

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, without signing in.
    Open,
    /// Everybody who is in: it concerns only themselves.
    Oneself,
    /// All roles.
    See,
    /// Operators, and who may more.
    Operate,
    /// Who may bring machines back.
    Restore,
    /// Administrators.
    Administer,
    /// Administrators and auditors.
    Audit,
}

impl Access {
    /// Whether a role is enough.
    pub(crate) fn allows(self, role: Role) -> bool {
        match self {
            Self::Open | Self::Oneself | Self::See => true,
            Self::Operate => matches!(role, Role::Operator | Role::Restore | Role::Admin),
            Self::Restore => matches!(role, Role::Restore | Role::Admin),
            Self::Administer => role == Role::Admin,
            Self::Audit => matches!(role, Role::Admin | Role::Auditor),
        }
    }
}

/// A route.
pub(crate) struct Route {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub(crate) method: &'static str,
    /// With names in braces.
    pub(crate) path: &'static str,
    /// Who may.
    pub(crate) access: Access,
    /// What it does, in a word or two, as the audit log says it.
    pub(crate) what: &'static str,
    answer: fn(MethodFilter) -> MethodRouter<Arc<State>>,
}

impl Route {
    /// Whether it changes something.
    pub(crate) fn is_change(&self) -> bool {
        self.method != "GET"
    }

    /// Whether it is written into the audit log: changes, and what leaves a machine's disks.
    pub(crate) fn is_written_down(&self) -> bool {
        self.is_change() || self.what == "file read"
    }

    /// Whether it tells metrics.
    pub(crate) fn is_metrics(&self) -> bool {
        self.what == "metrics"
    }

    fn filter(&self) -> MethodFilter {
        match self.method {
            "POST" => MethodFilter::POST,
            "PATCH" => MethodFilter::PATCH,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        }
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $access:ident $what:literal $answer:path;)*) => {
        [$(Route {
            method: stringify!($method),
            path: $path,
            access: Access::$access,
            what: $what,
            answer: |filter| on(filter, $answer),
        }),*]
    };
}

/// The table.
pub(crate) static ROUTES: [Route; 53] = routes! {
    GET "/api/v1/health" Open "health" look::health;
    GET "/api/v1/openapi.json" Open "document" openapi::document;
    GET "/api/v1/overview" See "overview" look::overview;
    GET "/api/v1/machines" See "machines" look::machines;
    GET "/api/v1/machines/{name}" See "machine" look::machine;
    GET "/api/v1/points" See "points" look::points;
    GET "/api/v1/points/{id}/files" Restore "files" browse::files;
    GET "/api/v1/points/{id}/file" Restore "file read" browse::file;
    GET "/api/v1/runs" See "runs" look::runs;
    POST "/api/v1/runs" Operate "run begin" act::begin;
    GET "/api/v1/runs/{id}" See "run" look::run;
    POST "/api/v1/runs/{id}/cancel" Operate "run cancel" act::cancel_run;
    POST "/api/v1/restores" Restore "restore" act::restore;
    GET "/api/v1/tasks" See "tasks" look::tasks;
    GET "/api/v1/tasks/{id}" See "task" look::task;
    GET "/api/v1/tasks/{id}/log" See "log" look::log;
    POST "/api/v1/tasks/{id}/cancel" Operate "task cancel" act::cancel_task;
    GET "/api/v1/tasks/{id}/retry" See "task retry plan" act::plan_retry;
    POST "/api/v1/tasks/{id}/retry" Operate "task retry" act::retry_task;
    GET "/api/v1/jobs" See "jobs" look::jobs;
    GET "/api/v1/jobs/{name}/simulate" See "simulate" simulation::simulate;
    GET "/api/v1/upcoming" See "upcoming" look::upcoming;
    GET "/api/v1/repositories" See "repositories" look::repositories;
    GET "/api/v1/repositories/{name}/sizes" See "sizes" look::sizes;
    GET "/api/v1/repositories/{name}/catalog" Administer "repository catalog export"
        repository_catalog::export;
    POST "/api/v1/repositories/{name}/catalog" Administer "repository catalog import"
        repository_catalog::import;
    POST "/api/v1/repositories/{name}/catalog/plan" Administer "repository catalog plan"
        repository_catalog::plan;
    POST "/api/v1/repositories/{name}/catalog/verify" Administer "repository catalog verify"
        repository_catalog::verify;
    GET "/api/v1/alerts" See "alerts" look::alerts;
    POST "/api/v1/alerts/{id}/acknowledge" Operate "alert acknowledge" act::acknowledge;
    GET "/api/v1/events" See "events" events::events;
    GET "/api/v1/config" See "config" look::config;
    GET "/api/v1/audit" Audit "audit" look::audit;
    GET "/api/v1/audit/verify" Audit "audit verify" look::verify_audit;
    GET "/api/v1/catalog" Administer "catalog export" export::catalog;
    POST "/api/v1/catalog/rebuild" Administer "catalog rebuild" act::rebuild;
    GET "/api/v1/me" Oneself "me" people::me;
    POST "/api/v1/me/password" Oneself "password change" people::change_password;
    GET "/api/v1/users" Administer "users" people::users;
    POST "/api/v1/users" Administer "user add" people::add_user;
    PATCH "/api/v1/users/{name}" Administer "user change" people::change_user;
    DELETE "/api/v1/users/{name}" Administer "user remove" people::remove_user;
    GET "/api/v1/tokens" Administer "tokens" people::tokens;
    POST "/api/v1/tokens" Administer "token add" people::add_token;
    DELETE "/api/v1/tokens/{id}" Administer "token remove" people::remove_token;
    POST "/api/v1/sessions" Open "sign in" login::sign_in;
    DELETE "/api/v1/sessions" Oneself "sign out" login::sign_out;
    POST "/api/v1/setup" Open "setup" login::set_up;
    GET "/metrics" See "metrics" metrics::metrics;
    GET "/metrics/backups" See "metrics" metrics::metrics;
    POST "/login" Open "sign in" login::form;
    POST "/logout" Open "sign out" login::sign_out_form;
    POST "/setup" Open "setup" login::setup_form;
};

/// All routes with their guards, and the pages.
pub(crate) fn router(state: &Arc<State>) -> Router {
    let mut router: Router<Arc<State>> = crate::pages::router();
    for route in &ROUTES {
        let post = Post {
            state: Arc::clone(state),
            route,
        };
        let answer = (route.answer)(route.filter());
        let guarded = answer.layer(from_fn_with_state(post, guard));
        router = router.route(route.path, guarded);
    }
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(state))
}

/// Method and path of every route with the roles that may use it, `anyone` for open ones.
pub fn matrix() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let row = |route: &Route| {
        let allowed = Role::ALL
            .into_iter()
            .filter(|role| route.access.allows(*role));
        let mut names: Vec<_> = allowed.map(Role::as_str).collect();
        if route.access == Access::Open {
            names.push("anyone");
        }
        (route.method, route.path, names)
    };
    ROUTES.iter().map(row).collect()
}

//! What is around every page: navigation, search, the reader, the theme.

use lifeboat_catalog::{Role, Run, RunId, RunState};
use maud::{DOCTYPE, Markup, html};

use super::icon::{icon, sprite};
use super::parts::{Look, run_state};
use super::words::Moment;
use crate::assets;

/// A page of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first page.
    Overview,
    /// Machines, and one machine.
    Machines,
    /// Runs, and one run.
    Runs,
    /// Repositories, and one repository.
    Repositories,
    /// The calendar and the simulator.
    Schedule,
    /// Alerts.
    Alerts,
    /// The audit log.
    Audit,
    /// Settings.
    Settings,
    /// The page of keys.
    Help,
}

/// Who reads.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The user's name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// What forms must bring along.
    pub form_key: String,
}

/// What every page shares.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The site's name.
    pub site: Option<String>,
    /// Who reads.
    pub reader: Reader,
    /// When and where.
    pub moment: Moment,
    /// Alerts that hold and nobody has acknowledged.
    pub alerts: usize,
    /// Runs of which a task runs now.
    pub active: Vec<RunId>,
    /// Only what is inside is wanted.
    pub is_fragment: bool,
}

const PLACES: [(Place, &str, &str, &str, &str); 8] = [
    (Place::Overview, "/", "overview", "Overview", "o"),
    (Place::Machines, "/machines", "machines", "Machines", "m"),
    (Place::Runs, "/runs", "runs", "Runs", "r"),
    (
        Place::Repositories,
        "/repositories",
        "repositories",
        "Repositories",
        "e",
    ),
    (Place::Schedule, "/schedule", "schedule", "Schedule", "s"),
    (Place::Alerts, "/alerts", "alerts", "Alerts", "a"),
    (Place::Audit, "/audit", "audit", "Audit", "u"),
    (Place::Settings, "/settings", "settings", "Settings", "t"),
];
/// Those at the bottom of a phone; the others are behind "More".
const ON_PHONES: [Place; 4] = [Place::Overview, Place::Machines, Place::Runs, Place::Alerts];

impl Frame {
    /// Whether the reader may do what needs a role.
    pub fn may(&self, needed: Role) -> bool {
        match needed {
            Role::Viewer => true,
            Role::Auditor => matches!(self.reader.role, Role::Auditor | Role::Admin),
            Role::Operator => matches!(
                self.reader.role,
                Role::Operator | Role::Restore | Role::Admin
            ),
            Role::Restore => matches!(self.reader.role, Role::Restore | Role::Admin),
            Role::Admin => self.reader.role == Role::Admin,
        }
    }

    /// How a run is: an open one of which nothing runs waits.
    pub(crate) fn run_state(&self, run: &Run) -> (Look, &'static str) {
        match run.state {
            RunState::Open if !self.active.contains(&run.id) => (Look::Waiting, "Waiting"),
            state => run_state(state),
        }
    }

    /// Whether a page is for the reader.
    fn sees(&self, place: Place) -> bool {
        place != Place::Audit || self.may(Role::Auditor)
    }

    /// What every form brings along.
    pub(crate) fn form_key(&self) -> Markup {
        html! { input type="hidden" name="form_key" value=(self.reader.form_key); }
    }

    /// A page, or only what is inside.
    pub(crate) fn page(&self, place: Place, title: &str, inner: Markup) -> Markup {
        if self.is_fragment {
            return inner;
        }
        let body = html! {
            (sprite())
            a.skip href="#page" { "Skip to the page" }
            (self.side(place))
            div.frame {
                (self.top())
                main #page tabindex="-1" { (inner) }
            }
            (self.bottom(place))
            div #said .visually-hidden role="status" aria-live="polite" {}
        };
        let now = self.moment.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        document(title, "app", Some(&now), body)
    }

    fn side(&self, present: Place) -> Markup {
        html! {
            aside.side {
                a.brand href="/" {
                    (icon("buoy")) span { "lifeboat" }
                }
                @if let Some(site) = &self.site { p.site title="Site" { (site) } }
                nav aria-label="Pages" {
                    @for (place, address, picture, word, key) in PLACES {
                        @if self.sees(place) {
                            (self.link(place == present, (address, picture, word), Some(key)))
                        }
                    }
                }
                div.side-foot {
                    (self.link(present == Place::Help, ("/help", "help", "Keys and help"),
                        Some("?")))
                    (self.who())
                }
            }
        }
    }

    fn link(
        &self,
        is_present: bool,
        (address, picture, word): (&str, &str, &str),
        key: Option<&str>,
    ) -> Markup {
        html! {
            a.place href=(address) data-key=[key] aria-current=[is_present.then_some("page")] {
                (icon(picture)) span { (word) }
                @if address == "/alerts" && self.alerts > 0 {
                    span.number { (self.alerts) span.visually-hidden { " open" } }
                }
            }
        }
    }

    fn who(&self) -> Markup {
        html! {
            div.who {
                div {
                    strong { (self.reader.name) }
                    span.quiet { (self.reader.role) }
                }
                form method="post" action="/logout" {
                    (self.form_key())
                    button.ghost type="submit" title="Sign out" {
                        (icon("leave")) span.visually-hidden { "Sign out" }
                    }
                }
            }
        }
    }

    fn top(&self) -> Markup {
        html! {
            header.top {
                a.brand.only-phone href="/" aria-label="lifeboat" { (icon("buoy")) }
                form.search role="search" action="/search" method="get" {
                    (icon("search"))
                    input #search type="search" name="q" autocomplete="off" spellcheck="false"
                        placeholder="Search" aria-label="Search machines, jobs and runs"
                        aria-keyshortcuts="/" maxlength="100";
                    kbd { "/" }
                    div #found .found hidden {}
                }
                span #live .live hidden title="This page renews itself" {
                    span.live-dot {} span.live-word { "Live" }
                }
                button #theme .ghost type="button" hidden title="Light or dark" {
                    (icon("theme")) span.visually-hidden { "Light or dark" }
                }
            }
        }
    }

    fn bottom(&self, present: Place) -> Markup {
        let is_below = |place: &Place| ON_PHONES.contains(place);
        html! {
            nav.bottom aria-label="Pages on a phone" {
                @for (place, address, picture, word, _) in PLACES {
                    @if is_below(&place) {
                        (self.link(place == present, (address, picture, word), None))
                    }
                }
                details.more-places {
                    summary.place { (icon("more")) span { "More" } }
                    div.sheet {
                        @for (place, address, picture, word, _) in PLACES {
                            @if !is_below(&place) && self.sees(place) {
                                (self.link(place == present, (address, picture, word), None))
                            }
                        }
                        (self.link(present == Place::Help, ("/help", "help", "Keys and help"),
                            None))
                        (self.who())
                    }
                }
            }
        }
    }
}

/// A whole document.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is written in the call"
)]
pub(crate) fn document(title: &str, class: &str, now: Option<&str>, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · lifeboat" }
                meta name="viewport"
                    content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some(now) = now { meta name="now" content=(now); }
                link rel="icon" type="image/svg+xml" href=(assets::icon().path);
                link rel="stylesheet" href=(assets::style().path);
                script src=(assets::script().path) {}
            }
            body class=(class) { (body) }
        }
    }
}

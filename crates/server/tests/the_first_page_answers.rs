//! The first page says who can be recovered, who cannot, and leads there.

use std::time::Instant;

use lifeboat_catalog::Role;
use lifeboat_scheduler::ObjectiveState;
use lifeboat_server::pages::*;

use crate::demo_fleet as demo;
use crate::pages_answer_and_escape::overview_of;

#[test]
fn the_first_page_says_what_cannot_be_recovered_and_links_to_it() {
    let page = overview_of(&demo::frame(Role::Viewer), &demo::fleet());
    assert!(page.contains("Can I recover now?"));
    assert!(
        page.contains("34 of 39 machines are recoverable as promised."),
        "{page}"
    );
    assert!(page.contains("1 machine misses what was promised."));
    assert!(page.contains("A recovery was last proved"));
    for link in [
        "/machines?state=missed",
        "/machines?state=unprotected",
        "/machines/mail01",
    ] {
        assert!(page.contains(link), "{link}");
    }
    assert!(page.len() < 150_000, "{} bytes", page.len());
}

#[test]
fn the_first_page_is_calm_when_all_is_well() {
    let mut fleet = demo::fleet();
    fleet
        .overview
        .machines
        .retain(|it| it.is_protected && it.worst == ObjectiveState::Met);
    for job in &mut fleet.overview.jobs {
        job.overdue = None;
    }
    let page = overview_of(&demo::frame(Role::Viewer), &fleet);
    assert!(
        page.contains("Yes. All 34 machines can be recovered."),
        "{page}"
    );
    assert!(page.contains("hero ok"));
}

#[test]
fn machines_without_a_point_are_counted_once_named_and_found() {
    let mut fleet = demo::fleet();
    let machines = &mut fleet.overview.machines;
    machines.retain(|it| it.is_protected && it.worst == ObjectiveState::Met && !it.is_excused);
    let name = machines[3].name.clone();
    machines[3].newest = None;
    let frame = demo::frame(Role::Viewer);
    let page = overview_of(&frame, &fleet);
    for said in [
        "1 machine cannot be recovered yet.",
        &format!("{name}</a> has no recovery point."),
        "<strong>33</strong><span>of 34 met</span>",
        "/machines?state=no_point",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let of = |state: &str| {
        let query = MachinesQuery {
            state: state.to_owned(),
            ..MachinesQuery::default()
        };
        machines_page(&frame, &fleet.overview, &query).into_string()
    };
    let row = format!("href=\"/machines/{name}\"");
    let rows = |state: &str| of(state).matches("main-cell").count();
    assert!(of("no_point").contains(&row) && !of("met").contains(&row));
    assert_eq!((rows("no_point"), rows("met")), (1, 33));
}

#[test]
fn the_first_page_of_a_thousand_machines_is_made_at_once() {
    let mut fleet = demo::fleet();
    let machines = fleet.overview.machines.clone();
    fleet.overview.machines = machines.iter().cycle().take(1_000).cloned().collect();
    let frame = demo::frame(Role::Viewer);
    let began = Instant::now();
    let page = overview_of(&frame, &fleet);
    lifeboat_testkit::figure("dashboard", "first page, 1,000 machines, bytes", page.len());
    lifeboat_testkit::figure(
        "dashboard",
        "first page, 1,000 machines, made in microseconds",
        began.elapsed().as_micros(),
    );
    assert!(page.len() < 150_000, "{} bytes", page.len());
    let machines = machines_page(&frame, &fleet.overview, &MachinesQuery::default()).into_string();
    assert_eq!(
        machines.matches("<tr>").count(),
        201,
        "one page of rows and their head"
    );
    assert!(machines.contains("page=1"));
}

//! Inside one recovery point: what its snapshot holds, its volumes, folders and files.
//!
//! Every name in here was chosen inside a guest: it is shown as text with nothing left of what
//! could steer a terminal or a browser, and goes into addresses byte by byte.

use lifeboat_catalog::Point;
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::icon::icon;
use super::machine::short;
use super::parts::{Look, badge, empty, head, mark, platform_field, point_kind, twin, twin_of};
use super::words::{
    MachineName, bytes, count, escape, escape_bytes, machine_page, path, shell_bytes, thousands,
    visible,
};
use crate::browse::{
    BYTES_MAX, Found, GuestEntry, GuestFolder, GuestKind, GuestVolume, InsidePlace, Looked,
    StoredFile, below,
};

/// Rows of a page.
const ROWS: usize = 200;
/// Points to choose from.
const CHOICES: usize = 200;
/// What could not be read, so many at most.
const FAULTS: usize = 20;

/// What is shown of a point.
#[derive(Clone, Debug)]
pub struct BrowseView<'a> {
    /// The machine's name.
    pub machine: &'a str,
    /// Its platform's, where the name is shared.
    pub platform: Option<&'a str>,
    /// The point; none if the machine has no such point.
    pub point: Option<&'a Point>,
    /// Its points, newest first.
    pub points: &'a [Point],
    /// Where in the point: its volumes, or a path.
    pub place: &'a InsidePlace,
    /// Whether the point can be brought back as a machine where it was.
    pub can_restore: bool,
    /// What is known of that place.
    pub looked: &'a Looked,
    /// What is known of the files of its snapshot.
    pub stored: &'a Looked,
    /// Only names that hold this.
    pub text: &'a str,
    /// From 0 on.
    pub page: usize,
}

impl<'a> BrowseView<'a> {
    fn page(&self, below: &str, query: &str) -> String {
        machine_page((self.machine, self.platform), below, query)
    }

    fn path(&self) -> &'a [u8] {
        match self.place {
            InsidePlace::Path(path) => path,
            _ => b"",
        }
    }
}

/// Inside one point.
pub fn page(frame: &Frame, view: &BrowseView<'_>) -> Markup {
    let machine = view.machine;
    let title = format!("Files of {machine}");
    let back = html! { a href=(view.page("", "")) { "Back to " (machine) } };
    let inner = match view.point {
        None => html! {
            (head(&title, back, html! {}))
            section.card { (empty("restore", "No such recovery point",
                "Its snapshot may have been forgotten since, or there is none yet.",
                html! { a.button href=(view.page("", "")) { "Back" } })) }
        },
        Some(point) => html! {
            (head(&title, html! {
                span { "As of " (frame.moment.exact(point.at)) } (back)
            }, choice(frame, view, point)))
            (crumbs(view, point))
            div.columns {
                div.column.wide { (inside(frame, view, point)) }
                div.column { (stored(view, point)) (twins(view, point)) }
            }
        },
    };
    frame.page(Place::Machines, &title, inner)
}

/// Which point is shown, and another one in its place.
fn choice(frame: &Frame, view: &BrowseView<'_>, point: &Point) -> Markup {
    let restore = view.page("restore", &query_of(point));
    let is_listed = view.points.iter().take(CHOICES).any(|it| it == point);
    let own = (!is_listed).then_some(point);
    let choices = &view.points[..view.points.len().min(CHOICES)];
    html! {
        form.filter method="get" action=(path(&["machines", view.machine, "browse"])) {
            (platform_field(view.platform))
            select name="point" aria-label="Recovery point" data-submits="" {
                @for it in own.into_iter().chain(choices) {
                    option value=(short(&it.key.snapshot)) selected[it == point] {
                        (frame.moment.of_point(it, choices)) " · " (it.key.repository)
                    }
                }
            }
            noscript { button.button type="submit" { "Show" } }
        }
        @if view.can_restore { a.button href=(restore) { (icon("restore")) "Restore" } }
    }
}

/// The point that an address is about.
pub(crate) fn query_of(point: &Point) -> String {
    let (snapshot, repository) = (short(&point.key.snapshot), escape(&point.key.repository));
    format!("point={snapshot}&repository={repository}")
}

/// The page of one point.
pub(crate) fn address_of(machine: MachineName<'_>, point: &Point) -> String {
    machine_page(machine, "browse", &query_of(point))
}

fn address(view: &BrowseView<'_>, point: &Point, inside: &[u8]) -> String {
    let mut address = address_of((view.machine, view.platform), point);
    if !inside.is_empty() {
        address += &format!("&path={}", escape_bytes(inside));
    }
    address
}

/// Where a file's bytes come from.
fn download(point: &Point, parameter: &str, inside: &[u8]) -> String {
    let file = path(&["api", "v1", "points", &point.key.snapshot, "file"]);
    format!("{file}?{parameter}={}", escape_bytes(inside))
}

/// The path in steps, each a way back up.
fn crumbs(view: &BrowseView<'_>, point: &Point) -> Markup {
    let inside = view.path();
    let root = inside.iter().position(|byte| *byte == b'/');
    let (volume, rest) = inside.split_at(root.unwrap_or(inside.len()));
    let volume = volume.strip_suffix(b":").unwrap_or(volume);
    let names: Vec<&[u8]> = rest
        .split(|byte| *byte == b'/')
        .filter(|it| !it.is_empty())
        .collect();
    let up_to = |number: usize| {
        let mut path = inside[..root.unwrap_or(0)].to_vec();
        for name in &names[..number] {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if number == 0 {
            path.push(b'/');
        }
        path
    };
    html! {
        nav.crumbs aria-label="Path" {
            ol {
                li { a href=(address(view, point, b"")) { (icon("disk")) "Volumes" } }
                @if !inside.is_empty() {
                    @let root_name = match volume { [] => "System".to_owned(),
                        name => visible(name) };
                    li { (crumb(view, point, &up_to(0), &root_name, names.is_empty())) }
                    @for (at, name) in names.iter().enumerate() {
                        li { (crumb(view, point, &up_to(at + 1), &visible(name),
                            at + 1 == names.len())) }
                    }
                }
            }
        }
    }
}

fn crumb(
    view: &BrowseView<'_>,
    point: &Point,
    inside: &[u8],
    name: &str,
    is_present: bool,
) -> Markup {
    html! {
        a href=(address(view, point, inside)) aria-current=[is_present.then_some("page")] {
            bdi { (name) }
        }
    }
}

fn inside(frame: &Frame, view: &BrowseView<'_>, point: &Point) -> Markup {
    html! {
        section #inside .card.table-card data-live="" aria-label="Inside the disks" {
            @match view.looked {
                Looked::Underway => (opening()),
                Looked::Failed(why) => (refused(view, point, why)),
                Looked::Found(found) => @match &**found {
                    Found::Volumes(volumes) => (volumes_of(view, point, volumes)),
                    Found::Folder(folder) if folder.is_folder =>
                        (folder_of(frame, view, point, folder)),
                    Found::Folder(folder) => (one_file(frame, view, point, folder)),
                    Found::Stored(_) => {}
                },
            }
        }
    }
}

fn opening() -> Markup {
    html! {
        div.empty data-pending="" {
            div.empty-picture.busy { (icon("running")) }
            h3 { "Opening the disks" }
            p { "A small machine of its own, without network, looks at them and changes nothing. \
                The first look takes some seconds." }
            noscript { p { "Load this page again in a moment." } }
        }
    }
}

fn refused(view: &BrowseView<'_>, point: &Point, why: &str) -> Markup {
    html! {
        p.banner.failed role="alert" { (icon("failed")) span { (visible(why.as_bytes())) } }
        div.padded.line.wrap {
            a.button href=(address(view, point, view.path())) { (icon("retry")) "Try again" }
            a.button href=(address(view, point, b"")) { "To the volumes" }
        }
    }
}

fn volumes_of(view: &BrowseView<'_>, point: &Point, volumes: &[GuestVolume]) -> Markup {
    let is_system = volumes.iter().any(|it| it.mounted_at.is_some());
    html! {
        header.card-head { h2 { "Inside the disks" } }
        @if volumes.is_empty() {
            (empty("disk", "No volume was found", "The disks are empty, or hold what is not known \
                here. They can be restored all the same.", html! {}))
        }
        ul.rows {
            @if is_system {
                li.row.volume {
                    span.file-icon { (icon("machines")) }
                    div { a.strong href=(address(view, point, b"/")) { "System" }
                        span.block.small.quiet { "All its file systems as the machine sees them" } }
                }
            }
            @for volume in volumes { (volume_row(view, point, volume)) }
        }
    }
}

fn volume_row(view: &BrowseView<'_>, point: &Point, volume: &GuestVolume) -> Markup {
    let root = format!("{}:/", volume.name);
    let name = visible(volume.name.as_bytes());
    html! {
        li.row.volume {
            span.file-icon { (icon("disk")) }
            div {
                @if volume.is_readable {
                    a.strong href=(address(view, point, root.as_bytes())) { bdi { (name) } }
                } @else { strong.quiet { bdi { (name) } } }
                span.block.small.quiet {
                    (visible(volume.content.as_bytes()))
                    @if !volume.label.is_empty() {
                        " · " bdi { (visible(volume.label.as_bytes())) } }
                    @if let Some(at) = &volume.mounted_at { " · at " bdi {
                        (visible(at.as_bytes())) } }
                    @if !volume.note.is_empty() { " · " (visible(volume.note.as_bytes())) }
                }
            }
            span.end.quiet { (bytes(volume.size)) }
        }
    }
}

fn folder_of(frame: &Frame, view: &BrowseView<'_>, point: &Point, folder: &GuestFolder) -> Markup {
    let wanted = view.text.to_lowercase();
    let fits = |entry: &&GuestEntry| {
        let name = || String::from_utf8_lossy(&entry.name).to_lowercase();
        wanted.is_empty() || name().contains(&wanted)
    };
    let fitting: Vec<&GuestEntry> = folder.entries.iter().filter(fits).collect();
    let shown = fitting.iter().skip(view.page * ROWS).take(ROWS);
    let page = |number: usize| {
        let place = address(view, point, view.path());
        format!("{place}&q={}&page={number}", escape(view.text))
    };
    html! {
        header.card-head {
            h2 { (count(folder.count as u64, "entry")) }
            @if folder.count > ROWS || !wanted.is_empty() { (filter(view, point)) }
        }
        (faults(folder))
        @if folder.entries.len() < folder.count {
            p.card-note { "The first " (thousands(folder.entries.len() as u64)) " are shown here; \
                the command lists all." }
        }
        @if fitting.is_empty() {
            @match wanted.is_empty() {
                true => (empty("browse", "An empty folder", "Nothing lies here.", html! {})),
                false => (empty("search", "No name fits", "Try a shorter part of the name.",
                    html! { a.button href=(address(view, point, view.path())) { "All" } })),
            }
        } @else {
            table.list.files.compact {
                thead { tr {
                    th scope="col" { "Name" } th.number scope="col" { "Size" }
                    th scope="col" { "Modified" } th scope="col" { "Mode" }
                    th { span.visually-hidden { "Download" } }
                } }
                tbody { @for entry in shown { (entry_row(frame, view, point, entry)) } }
            }
        }
        @if fitting.len() > ROWS {
            nav.pager aria-label="Parts of the folder" {
                @if view.page > 0 { a.button href=(page(view.page - 1)) { "Back" } }
                span.quiet { (thousands((view.page * ROWS + 1) as u64)) " to "
                    (thousands(fitting.len().min((view.page + 1) * ROWS) as u64)) " of "
                    (thousands(fitting.len() as u64)) }
                @if fitting.len() > (view.page + 1) * ROWS {
                    a.button href=(page(view.page + 1)) { "Next" (icon("next")) } }
            }
        }
    }
}

fn filter(view: &BrowseView<'_>, point: &Point) -> Markup {
    // What is not text cannot stand in a form: there is no filter below such a path.
    let Ok(inside) = std::str::from_utf8(view.path()) else {
        return html! {};
    };
    html! {
        form.filter method="get" action=(path(&["machines", view.machine, "browse"])) {
            (platform_field(view.platform))
            input type="hidden" name="point" value=(short(&point.key.snapshot));
            input type="hidden" name="repository" value=(point.key.repository);
            input type="hidden" name="path" value=(inside);
            input type="search" name="q" value=(view.text) placeholder="Part of the name"
                aria-label="Part of the name" maxlength="100";
            button.button type="submit" { "Show" }
        }
    }
}

fn faults(folder: &GuestFolder) -> Markup {
    html! {
        @if !folder.faults.is_empty() {
            div.banner.warning { (icon("warning")) div {
                strong { (count(folder.faults.len() as u64, "entry")) " could not be read" }
                ul.plain-list { @for fault in folder.faults.iter().take(FAULTS) {
                    li { (visible(fault.as_bytes())) } } }
            } }
        }
    }
}

fn entry_row(frame: &Frame, view: &BrowseView<'_>, point: &Point, entry: &GuestEntry) -> Markup {
    let inside = below(view.path(), &entry.name);
    let name = visible(&entry.name);
    let picture = match entry.kind {
        GuestKind::Folder => "browse",
        GuestKind::Link => "link",
        GuestKind::File | GuestKind::Other => "file",
    };
    html! {
        tr {
            td.main-cell data-label="Name" { div.file-name {
                span class={ "file-icon " (picture) } { (icon(picture)) }
                span {
                    @match entry.kind {
                        GuestKind::Folder | GuestKind::Link => {
                            a.strong href=(address(view, point, &inside)) { bdi { (name) } }
                        }
                        _ => bdi { (name) },
                    }
                    @if let Some(target) = &entry.link_target {
                        span.quiet.small.block { "leads to " bdi { (visible(target.as_bytes())) } }
                    }
                }
            } }
            td.number data-label="Size" {
                @if entry.kind == GuestKind::File { (bytes(entry.size)) }
            }
            td data-label="Modified" { (modified(frame, entry)) }
            td.mode.wide-only data-label="Mode" { code { (mode(entry)) }
                span.quiet.small.block { (entry.uid) ":" (entry.gid) } }
            td.end-cell { (get(point, entry, &inside, &name)) }
        }
    }
}

fn modified(frame: &Frame, entry: &GuestEntry) -> Markup {
    html! {
        @if let Ok(at) = jiff::Timestamp::from_second(entry.modified) {
            span title=(frame.moment.exact(at)) {
                (frame.moment.format(at, "%-d %b %Y %H:%M")) }
        }
    }
}

fn get(point: &Point, entry: &GuestEntry, inside: &[u8], name: &str) -> Markup {
    html! {
        @if entry.kind == GuestKind::File && entry.size <= BYTES_MAX {
            a.ghost href=(download(point, "path", inside)) download title="Download" {
                (icon("download")) span.visually-hidden { "Download " (name) }
            }
        }
    }
}

/// As `ls -l` writes permissions.
fn mode(entry: &GuestEntry) -> String {
    let kind = match entry.kind {
        GuestKind::File => '-',
        GuestKind::Folder => 'd',
        GuestKind::Link => 'l',
        GuestKind::Other => '?',
    };
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    let bits = bits.map(|(bit, letter)| match entry.mode >> bit & 1 {
        1 => letter,
        _ => '-',
    });
    std::iter::once(kind).chain(bits).collect()
}

/// What is at a path that is no folder.
fn one_file(frame: &Frame, view: &BrowseView<'_>, point: &Point, folder: &GuestFolder) -> Markup {
    let Some(entry) = folder.entries.first() else {
        return faults(folder);
    };
    let names = view.path().rsplit(|byte| *byte == b'/');
    let name = visible(names.into_iter().next().unwrap_or_default());
    html! {
        header.card-head { h2 { bdi { (name) } } }
        dl.facts.padded {
            dt { "Size" } dd { (bytes(entry.size)) }
            dt { "Modified" } dd { (modified(frame, entry)) }
            dt { "Mode" } dd { code { (mode(entry)) } " " (entry.uid) ":" (entry.gid) }
        }
        @if entry.kind == GuestKind::File && entry.size <= BYTES_MAX {
            div.padded { a.button.primary href=(download(point, "path", view.path())) download {
                (icon("download")) "Download" } }
        }
        (faults(folder))
    }
}

/// The files of the snapshot itself.
fn stored(view: &BrowseView<'_>, point: &Point) -> Markup {
    html! {
        section #stored .card data-live="" aria-labelledby="stored-title" {
            header.card-head { h2 #stored-title { "In the snapshot" } }
            @match view.stored {
                Looked::Underway => p.calm data-pending="" { (icon("running"))
                    "Reading the snapshot." },
                Looked::Failed(why) => p.calm { (icon("failed"))
                    span { (visible(why.as_bytes())) } },
                Looked::Found(found) => @if let Found::Stored(files) = &**found {
                    ul.rows.tight { @for file in files { (stored_row(point, file)) } }
                },
            }
            p.card-note {
                (badge(if point.is_full { Look::Ok } else { Look::Off },
                    point_kind(point))) " "
                @match point.verified {
                    Some((_, true)) => (mark(Look::Ok, "Verified")),
                    Some((_, false)) => (mark(Look::Failed, "Found damaged")),
                    None => (mark(Look::Unknown, "Never read back")),
                }
            }
        }
    }
}

fn stored_row(point: &Point, file: &StoredFile) -> Markup {
    let name = visible(file.path.trim_start_matches('/').as_bytes());
    html! {
        li.row.line {
            span.break-all { bdi { (name) } }
            span.end.quiet { (bytes(file.size)) }
            @if file.size <= BYTES_MAX {
                a.ghost href=(download(point, "stored", file.path.as_bytes())) download
                    title="Download" {
                    (icon("download")) span.visually-hidden { "Download " (name) }
                }
            }
        }
    }
}

fn twins(view: &BrowseView<'_>, point: &Point) -> Markup {
    let repository = format!("@{}", point.key.repository);
    let mut place = format!("{}@{}", view.machine, short(&point.key.snapshot)).into_bytes();
    if !view.path().is_empty() {
        place.push(b':');
        place.extend_from_slice(view.path());
    }
    let place = shell_bytes(&place);
    let typed = |what: &str, rest: &str| {
        let start = lifeboat_scheduler::command(&["-r", &repository, "files", what]);
        format!("{start} {place}{rest}")
    };
    html! {
        section.card aria-labelledby="twins-title" {
            header.card-head { h2 #twins-title { "On the command line" } }
            dl.twins {
                dt { "List this" } dd { (twin_of(&typed("ls", ""))) }
                @if !view.path().is_empty() {
                    dt { "Copy it into a folder" } dd { (twin_of(&typed("get", " /tmp"))) }
                }
                dt { "List the snapshot" }
                dd { (twin(&["-r", &repository, "ls", short(&point.key.snapshot)])) }
            }
        }
    }
}

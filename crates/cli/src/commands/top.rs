//! `lifeboat top`: machines, running tasks, alerts and what is said, second by second.

mod screen;
mod terminal;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use lifeboat_catalog::{Task, TaskId};
use lifeboat_scheduler::Node;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::service::Service;
use crate::situation::Situation;
use crate::tables::shown;

use screen::{Page, SaidLine, View};
use terminal::{Key, Terminal};

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long one waits for a key before looking whether to end.
const KEY_WAIT: Duration = Duration::from_millis(100);
/// Lines that are kept of each task.
const LINES_MAX: usize = 500;

/// Shows it until somebody presses q.
pub(crate) fn run(context: &Context) -> Result<u8> {
    if !terminal::is_there() {
        let text = "top draws on a terminal, and this is none (TERM): 'lifeboat status' says the \
                    same once";
        return Err(Error::usage(text));
    }
    let service = Service::open(context)?;
    let node = service.node_to_look()?;
    let mut top = Top::new(context, &service, &node)?;
    let terminal = Terminal::enter()?;
    let stop = &context.environment.cancel;
    while !stop.is_cancelled() {
        top.look_if_due()?;
        terminal.draw(&screen::lines(&top.view, terminal.size()))?;
        if let Some(key) = terminal.key(KEY_WAIT)?
            && top.press(key)?
        {
            break;
        }
    }
    Ok(0)
}

struct Top<'s> {
    context: &'s Context,
    service: &'s Service,
    node: &'s Node,
    view: View,
    looked: Instant,
}

impl<'s> Top<'s> {
    fn new(context: &'s Context, service: &'s Service, node: &'s Node) -> Result<Self> {
        let view = View {
            now: service.catalog.now(),
            situation: Situation::look(service, node)?,
            selected: 0,
            page: Page::All,
            said: BTreeMap::new(),
            note: String::new(),
        };
        let looked = Instant::now();
        let mut top = Self {
            context,
            service,
            node,
            view,
            looked,
        };
        top.listen()?;
        Ok(top)
    }

    fn look_if_due(&mut self) -> Result<()> {
        if self.looked.elapsed() < EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        let chosen = self.chosen().map(|task| task.id);
        self.view.now = self.service.catalog.now();
        self.view.situation = Situation::look(self.service, self.node)?;
        let running = &self.view.situation.running;
        let at = running.iter().position(|task| Some(task.id) == chosen);
        let last = running.len().saturating_sub(1);
        self.view.selected = at.unwrap_or(self.view.selected).min(last);
        self.listen()
    }

    /// Reads what tasks have said since the last look; that of tasks that have ended goes, unless
    /// somebody reads it.
    fn listen(&mut self) -> Result<()> {
        let view = &mut self.view;
        let mut heard: Vec<TaskId> = view.situation.running.iter().map(|it| it.id).collect();
        heard.extend(view.page.task());
        view.said.retain(|task, _| heard.contains(task));
        for task in heard {
            let (number, lines): &mut (i64, VecDeque<SaidLine>) =
                view.said.entry(task).or_default();
            for said in self.service.catalog.log_after(task, *number, 1_000)? {
                *number = said.number;
                lines.push_back((said.at, shown(&said.line)));
            }
            let over = lines.len().saturating_sub(LINES_MAX);
            lines.drain(..over);
        }
        Ok(())
    }

    fn chosen(&self) -> Option<&Task> {
        self.view.situation.running.get(self.view.selected)
    }

    /// What a key does; whether it ends everything.
    fn press(&mut self, key: Key) -> Result<bool> {
        self.view.note.clear();
        let last = self.view.situation.running.len().saturating_sub(1);
        match (self.view.page, key) {
            (Page::Asked(task), Key::Letter('y' | 'Y')) => {
                self.cancel(task);
                self.view.page = Page::All;
            }
            (Page::Asked(_), _) => self.view.page = Page::All,
            (_, Key::Letter('q')) => return Ok(true),
            (Page::Log(_), Key::Escape | Key::Left | Key::Enter) => self.view.page = Page::All,
            (Page::All, Key::Up | Key::Letter('k')) => {
                self.view.selected = self.view.selected.saturating_sub(1);
            }
            (Page::All, Key::Down | Key::Letter('j')) => {
                self.view.selected = (self.view.selected + 1).min(last);
            }
            (Page::All, Key::Enter | Key::Right) => {
                if let Some(task) = self.chosen() {
                    self.view.page = Page::Log(task.id);
                }
            }
            (Page::All, Key::Letter('c')) => {
                if let Some(task) = self.chosen() {
                    self.view.page = Page::Asked(task.id);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    fn cancel(&mut self, task: TaskId) {
        let (catalog, who) = (&self.service.catalog, self.service.who());
        let subject = task.0.to_string();
        let about = ("task cancel", subject.as_str(), "top");
        let done = super::account::written_down(self.context, self.service, about, || {
            Ok(catalog.cancel_task(task, &who)?)
        });
        self.view.note = match done {
            Ok(()) => format!("task {} is asked to stop", task.0),
            Err(error) => shown(&error.to_string()),
        };
    }
}

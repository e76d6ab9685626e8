//! `lifeboat serve`: the service.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use lifeboat_config::{Finding, Origin};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_scheduler::Node;

use crate::args::ServeArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::service::{AnswerCommands, Notices, Service, Watched, settings, sound, tell_supervisor};
use crate::tables::count;
use crate::{ConfigTold, Encryption, ServeParts, ShownSetting};

/// Pause between two looks at files and notices.
const PAUSE: Duration = Duration::from_secs(5);

/// Begins what is due, answers requests and tells people, until it is asked to stop.
pub(crate) fn run(context: &Context, arguments: &ServeArguments) -> Result<u8> {
    let service = Service::open(context)?;
    let stop = &context.environment.cancel;
    let output = context.output;
    // Held to the end: a second service would take the files of this one away.
    let (node, _held) = service.node_of_host(stop, &|text| output.warn(text))?;
    let asked = reload_signal()?;
    let (tell_shown, shown) = mpsc::channel();
    let parts = parts(context, &service, &node, (arguments, shown))?;
    let _ = tell_shown.send(sound_of(&service.loaded));
    service.running.keep(&service.path, &service.files)?;
    let mut notices = Notices::new(&service.loaded.config)?;
    notices.begin(&service.catalog, node.name())?;
    output.result(format!(
        "node {} serves {} of {}",
        node.name(),
        count(node.settings().jobs.len(), "job"),
        service.path.display()
    ))?;
    let served = thread::scope(|scope| {
        scope.spawn(|| {
            node.run(stop, &|error| {
                output.warn(format!("the service goes on: {error}"));
            });
        });
        scope.spawn(|| {
            let mut watched = Watched::new(&service.path, &service.loaded, &service.files);
            let mut counts = shown_of(&service.loaded);
            while !stop.is_cancelled() {
                let say = |text| output.warn(text);
                if let Err(error) = notices.look(&service.catalog, node.name(), &say) {
                    output.warn(format!("notices wait: {error}"));
                }
                textfile(context, arguments, &node);
                let is_asked = rest(stop, &asked);
                if watched.has_changed() || is_asked {
                    let told = (&mut notices, &tell_shown, &mut counts);
                    reload(output, (&service, &mut watched), &node, (told, is_asked));
                }
            }
        });
        let served = (context.wiring.serve)(parts, stop);
        // Whatever ended the server ends the rest.
        stop.cancel();
        tell_supervisor("STOPPING=1\nSTATUS=gives running tasks back");
        served
    });
    served.map_err(|(kind, text)| Error::new(kind, text))?;
    output.result("stopped")?;
    Ok(0)
}

fn parts(
    context: &Context,
    service: &Service,
    node: &Arc<Node>,
    (arguments, shown): (&ServeArguments, mpsc::Receiver<ConfigTold>),
) -> Result<ServeParts> {
    let server = &service.loaded.config.server;
    let key = service.audit_key(context)?;
    let report = service.catalog.verify_audit(&key, None)?;
    if let Some(flaw) = report.flaws.first() {
        let text = format!("the audit log was tampered with: {flaw}; 'lifeboat audit verify'");
        context.output.warn(text);
    }
    let version = concat!("lifeboat ", env!("CARGO_PKG_VERSION"));
    service.write_down(context, ("serve", node.name(), version), true)?;
    let output = context.output;
    Ok(ServeParts {
        node: Arc::clone(node),
        clock: Arc::clone(&context.environment.clock),
        entropy: Arc::clone(&context.environment.entropy),
        audit_key: key,
        listen: arguments.listen.unwrap_or(server.listen),
        encryption: match (&server.certificate, server.is_plain_http) {
            (_, true) => Encryption::None,
            (Some(files), _) => Encryption::Files(files.certificate.clone(), files.key.clone()),
            (None, _) => Encryption::Own(service.state.join("tls")),
        },
        public_names: server.public_names.clone(),
        is_metrics_open: server.is_metrics_open,
        login: server.login,
        commands: AnswerCommands::new(service.children(None), &service.state)?,
        shown,
        ready: Box::new(ready(service, node)),
        say: Arc::new(move |text| {
            // The journal may be full; the service goes on.
            let _ = output.result(text);
        }),
    })
}

/// Tells that requests are answered from now on.
fn ready(service: &Service, node: &Node) -> impl FnOnce() + Send + use<> {
    let jobs = count(node.settings().jobs.len(), "job");
    let state = format!("READY=1\nSTATUS={jobs} of {}", service.path.display());
    move || tell_supervisor(&state)
}

/// What the server is told of a sound configuration.
fn sound_of(loaded: &lifeboat_config::Loaded<lifeboat_control::Job>) -> ConfigTold {
    ConfigTold::Sound(shown_of(loaded), loaded.config.server.login)
}

/// Every effective value with where it came from.
fn shown_of(loaded: &lifeboat_config::Loaded<lifeboat_control::Job>) -> Vec<ShownSetting> {
    let origin = |origin: &Origin| match origin {
        Origin::Written(spot) => spot.to_string(),
        Origin::Usual => "usual".to_owned(),
    };
    let shown = loaded.shown.iter();
    shown
        .map(|it| (it.path.clone(), it.value.clone(), origin(&it.origin)))
        .collect()
}

/// Is set by SIGHUP, by which services are asked to read their configuration anew; one that
/// somebody started by hand ends with its terminal, as everything else does.
fn reload_signal() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    if std::io::stdin().is_terminal() {
        return Ok(asked);
    }
    let registered = signal_hook::flag::register(signal_hook::consts::SIGHUP, asked.clone());
    registered.map_err(|error| {
        let text = format!("cannot catch SIGHUP: {error}");
        Error::new(ErrorKind::of_io(&error), text)
    })?;
    Ok(asked)
}

/// Who is told of another configuration, and the values that were shown last.
type Told<'a> = (
    &'a mut Notices,
    &'a mpsc::Sender<ConfigTold>,
    &'a mut Vec<ShownSetting>,
);

/// Goes on with the configuration as it is now; a broken one is told, and changes nothing.
fn reload(
    output: Output,
    (service, watched): (&Service, &mut Watched),
    node: &Node,
    ((notices, tell, shown), is_asked): (Told<'_>, bool),
) {
    let mut findings: Vec<Finding> = Vec::new();
    let read = service.read();
    let read = read.and_then(|(loaded, files)| {
        watched.follow(&service.path, &loaded, &files);
        findings.clone_from(&loaded.findings);
        let loaded = sound(loaded)?;
        Ok((Notices::new(&loaded.config)?, loaded, files))
    });
    match read {
        // Something else was written beside it, or a mistake was taken back.
        Ok((_, loaded, _)) if shown_of(&loaded) == *shown => {
            if is_asked {
                let _ = output.result("the configuration is as it was");
            }
            let _ = tell.send(sound_of(&loaded));
        }
        Ok((fresh, loaded, files)) => {
            if let Err(error) = service.running.keep(&service.path, &files) {
                output.warn(format!("the configuration before goes on: {error}"));
                return;
            }
            notices.replace_settings(fresh);
            node.replace_settings(settings(&loaded.config));
            let before = std::mem::replace(shown, shown_of(&loaded));
            // Nobody listens any more when the service ends.
            let _ = tell.send(sound_of(&loaded));
            let _ = output.result("the configuration was read anew");
            let waits = waiting(&before, shown);
            if !waits.is_empty() {
                let waits = waits.join(", ");
                output.warn(format!(
                    "what changed in {waits} counts from the next start of the service: \
                     systemctl restart lifeboat"
                ));
            }
        }
        Err(error) => {
            output.warn(format!("the configuration before goes on: {error}"));
            let _ = tell.send(ConfigTold::Broken(error.to_string(), findings));
        }
    }
}

/// Settings of the server that count as soon as they are read.
const AT_ONCE: [&str; 3] = [
    "server.login_attempts",
    "server.login_window",
    "server.session",
];

/// Settings that differ and that are only taken when the service starts.
fn waiting<'s>(before: &'s [ShownSetting], now: &'s [ShownSetting]) -> Vec<&'s str> {
    let at_start = |all: &'s [ShownSetting]| -> BTreeMap<&'s str, &'s str> {
        let all = all
            .iter()
            .map(|(path, value, _)| (path.as_str(), value.as_str()));
        all.filter(|(path, _)| {
            let is_of_start = ["server.", "catalog."]
                .iter()
                .any(|it| path.starts_with(it));
            is_of_start && !AT_ONCE.contains(path)
        })
        .collect()
    };
    let (before, now) = (at_start(before), at_start(now));
    let paths: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    let differ = |path: &&str| before.get(path) != now.get(path);
    paths.into_iter().filter(differ).collect()
}

/// Metrics for node_exporter, if they are wanted.
fn textfile(context: &Context, arguments: &ServeArguments, node: &Node) {
    let Some(path) = &arguments.metrics_file else {
        return;
    };
    let written = (context.wiring.metrics)(node)
        .map_err(std::io::Error::other)
        .and_then(|text| {
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, text)?;
            std::fs::rename(fresh, path)
        });
    if let Err(error) = written {
        let text = format!("cannot write metrics to {}: {error}", path.display());
        context.output.warn(text);
    }
}

/// Waits for the next look; says whether somebody asked for one.
fn rest(stop: &CancelToken, asked: &AtomicBool) -> bool {
    let step = Duration::from_millis(200);
    for _ in 0..PAUSE.as_millis() / step.as_millis() {
        if stop.is_cancelled() {
            return false;
        }
        if asked.swap(false, Ordering::SeqCst) {
            return true;
        }
        thread::sleep(step);
    }
    false
}

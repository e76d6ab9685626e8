//! `lifeboat serve`: the service.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use lifeboat_catalog::AuditEntry;
use lifeboat_config::{Finding, Origin};
use lifeboat_model::CancelToken;
use lifeboat_scheduler::Node;

use crate::args::ServeArguments;
use crate::configuration;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::service::{Notices, Service, audit_key, settings, sound};
use crate::{ConfigTold, Encryption, ServeParts, ShownSetting};

/// Pause between two looks at files and notices.
const PAUSE: Duration = Duration::from_secs(5);

/// Begins what is due, answers requests and tells people, until it is asked to stop.
pub(crate) fn run(context: &Context, arguments: &ServeArguments) -> Result<u8> {
    let service = Service::open(context)?;
    let node = service.node_of_host()?;
    let stop = &context.environment.cancel;
    let output = context.output;
    let (tell_shown, shown) = mpsc::channel();
    let parts = parts(context, &service, &node, (arguments, shown))?;
    let _ = tell_shown.send(ConfigTold::Sound(shown_of(&service.loaded)));
    service.running.keep(&service.path, &service.files)?;
    let mut notices = Notices::new(&service.loaded.config)?;
    output.result(format!(
        "node {} serves {} jobs of {}",
        node.name(),
        node.settings().jobs.len(),
        service.path.display()
    ))?;
    let served = thread::scope(|scope| {
        scope.spawn(|| {
            node.run(stop, &|error| {
                output.warn(format!("the service goes on: {error}"));
            });
        });
        scope.spawn(|| {
            let mut seen = changed(&service);
            let mut counts = shown_of(&service.loaded);
            while !stop.is_cancelled() {
                if let Err(error) = notices.look(&service.catalog, node.name()) {
                    output.warn(format!("notices wait: {error}"));
                }
                textfile(context, arguments, &node);
                rest(stop);
                let now = changed(&service);
                if now != seen {
                    seen = now;
                    reload(
                        output,
                        &service,
                        &node,
                        (&mut notices, &tell_shown, &mut counts),
                    );
                }
            }
        });
        let served = (context.wiring.serve)(parts, stop);
        // Whatever ended the server ends the rest.
        stop.cancel();
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
    let key = audit_key(&service.state, &*context.environment.entropy)?;
    let report = service.catalog.verify_audit(&key, None)?;
    if let Some(flaw) = report.flaws.first() {
        let text = format!("the audit log was tampered with: {flaw}; 'lifeboat audit verify'");
        context.output.warn(text);
    }
    let entry = AuditEntry {
        number: 0,
        at: service.catalog.now(),
        who: service.who(),
        from: None,
        action: "serve".to_owned(),
        subject: node.name().to_owned(),
        details: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
        is_done: true,
    };
    service.catalog.audit(&key, &entry)?;
    let output = context.output;
    let children = service.children()?;
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
        shown,
        commands: Arc::new(move || children.command()),
        say: Arc::new(move |text| {
            // The journal may be full; the service goes on.
            let _ = output.result(text);
        }),
    })
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

/// When the configuration was last written; its folder tells of files beside it.
fn changed(service: &Service) -> [Option<SystemTime>; 3] {
    let modified = |path: &std::path::Path| std::fs::metadata(path).ok()?.modified().ok();
    let folder = service.path.parent().unwrap_or(std::path::Path::new("."));
    [
        modified(&service.path),
        modified(folder),
        modified(&folder.join("conf.d")),
    ]
}

/// Goes on with the configuration as it is now; a broken one is told, and changes nothing.
fn reload(
    output: Output,
    service: &Service,
    node: &Node,
    (notices, tell, shown): (
        &mut Notices,
        &mpsc::Sender<ConfigTold>,
        &mut Vec<ShownSetting>,
    ),
) {
    let mut findings: Vec<Finding> = Vec::new();
    let read = configuration::load_with_files(&service.path);
    let read = read.and_then(|(loaded, files)| {
        findings.clone_from(&loaded.findings);
        let loaded = sound(loaded)?;
        Ok((Notices::new(&loaded.config)?, loaded, files))
    });
    match read {
        // Something else was written beside it, or a mistake was taken back.
        Ok((_, loaded, _)) if shown_of(&loaded) == *shown => {
            let _ = tell.send(ConfigTold::Sound(shown.clone()));
        }
        Ok((fresh, loaded, files)) => {
            if let Err(error) = service.running.keep(&service.path, &files) {
                output.warn(format!("the configuration before goes on: {error}"));
                return;
            }
            *notices = fresh;
            node.replace_settings(settings(&loaded.config));
            // Nobody listens any more when the service ends.
            *shown = shown_of(&loaded);
            let _ = tell.send(ConfigTold::Sound(shown.clone()));
            let _ = output.result("the configuration was read anew");
        }
        Err(error) => {
            output.warn(format!("the configuration before goes on: {error}"));
            let _ = tell.send(ConfigTold::Broken(error.to_string(), findings));
        }
    }
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

fn rest(stop: &CancelToken) {
    let step = Duration::from_millis(200);
    for _ in 0..PAUSE.as_millis() / step.as_millis() {
        if stop.is_cancelled() {
            return;
        }
        thread::sleep(step);
    }
}

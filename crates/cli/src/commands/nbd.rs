//! `lifeboat nbd`

use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::{SnapshotDisks, of_nbd};
use lifeboat_model::ByteCount;
use lifeboat_nbd::{
    Address, Endpoint, Exports, Listener, Server, ServerOptions, TlsPolicy, TlsServer,
};
use lifeboat_repository::LockMode;

use crate::args::NbdArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::Table;

/// Between two looks whether the command is asked to stop.
const POLL: Duration = Duration::from_millis(100);
/// How long clients may go on when it is.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Serves the disks of a snapshot until it is asked to stop.
pub(crate) fn run(context: &Context, arguments: &NbdArguments) -> Result<u8> {
    let listener = listener(arguments)?;
    let repository = Arc::new(context.open()?);
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshot = select::machine_point(context, &repository, &arguments.machine)?;
    let index = Arc::new(context.load_index_to_read(&repository)?);
    let disks = SnapshotDisks::open(&repository, &index, &snapshot)?;
    let exports = Exports::new();
    if let Some(folder) = &arguments.overlay {
        std::fs::create_dir_all(folder)?;
    }
    disks.publish(&exports, arguments.overlay.as_deref())?;
    let options = ServerOptions {
        tls: tls(arguments)?,
        ..ServerOptions::default()
    };
    let is_encrypted = arguments.tls.is_some();
    let server = Server::start(listener, exports, options);
    let server = server.map_err(|e| Error::from(of_nbd("cannot serve", e)))?;
    let mut table = Table::new(&["Disk", ">Size", "URI"]);
    for (disk, reader) in disks.disks() {
        let address = with_export(server.address(), &disk.name, is_encrypted);
        let size = ByteCount(reader.size()).to_string();
        table.row([disk.name.clone(), size, address.to_string()]);
    }
    context.output.result(table.lines().join("\n"))?;
    let way = match &arguments.overlay {
        Some(folder) => format!("writable, kept in {}", folder.display()),
        None => "read-only".to_owned(),
    };
    let id = snapshot.id.short();
    context
        .output
        .tell(format!("serving snapshot {id}, {way}, until Ctrl-C"))?;
    while !context.environment.cancel.is_cancelled() {
        context.environment.clock.sleep(POLL);
    }
    server.stop(STOP_GRACE);
    context.output.tell("stopped")?;
    Ok(0)
}

fn listener(arguments: &NbdArguments) -> Result<Listener> {
    let opened = match (&arguments.socket, &arguments.listen) {
        (Some(path), _) => Listener::unix(path),
        (None, Some(text)) => {
            let wrong = || Error::usage(format!("--listen {text}: write HOST:PORT"));
            let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Listener::tcp(host, port.parse().map_err(|_| wrong())?)
        }
        (None, None) => return Err(Error::usage("nbd needs --socket or --listen")),
    };
    opened.map_err(|e| of_nbd("cannot serve", e).into())
}

fn tls(arguments: &NbdArguments) -> Result<TlsPolicy> {
    let Some(folder) = &arguments.tls else {
        return Ok(TlsPolicy::Off);
    };
    let server = if folder.join("ca-cert.pem").exists() {
        TlsServer::mutual(folder)
    } else {
        TlsServer::server_only(folder)
    };
    let server = server.map_err(|e| Error::from(of_nbd("cannot serve under TLS", e)))?;
    Ok(TlsPolicy::Required(server))
}

fn with_export(address: &Address, name: &str, is_encrypted: bool) -> Address {
    let address = match address.endpoint() {
        Endpoint::Unix(path) => Address::unix(path, name),
        Endpoint::Tcp { host, port } => Address::tcp(host, *port, name),
    };
    if is_encrypted {
        address.encrypted()
    } else {
        address
    }
}

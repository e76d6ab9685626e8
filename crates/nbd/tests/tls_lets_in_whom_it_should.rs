//! TLS in both roles, against QEMU's and nbdkit's.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use lifeboat_model::{ErrorKind, Extent};
use lifeboat_nbd::{
    Access, Address, Client, ClientOptions, Durability, Listener, Order, Server, ServerOptions,
    TlsClient, TlsPolicy, TlsServer, list_exports,
};

use crate::disks::{RawFile, dice, serve, sparse};
use crate::tools::{Peer, are_here, certificates, options, run, try_run};

const SIZE: u64 = 8 << 20;

fn with(tls: TlsClient) -> ClientOptions {
    ClientOptions {
        tls: Some(tls),
        ..options()
    }
}

fn content_of(client: &Client) -> Vec<u8> {
    let pieces = client.reads(Extent::new(0, client.size()), Order::Given);
    pieces.flat_map(|piece| piece.unwrap().to_vec()).collect()
}

#[test]
fn our_client_speaks_tls_with_real_servers() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let content = sparse(&place("raw"), SIZE, &dice());
    let good = certificates(&place("good"));
    let strange = certificates(&place("strange"));
    let nameless = place("nameless");
    fs::create_dir(&nameless).unwrap();
    fs::copy(good.join("ca-cert.pem"), nameless.join("ca-cert.pem")).unwrap();
    let object = format!(
        "tls-creds-x509,id=t,dir={},endpoint=server,verify-peer=yes",
        good.display()
    );
    let lines = [
        "qemu-nbd -r -t -e 9 -k @1 --object @2 --tls-creds t -f raw -x disk @3",
        "nbdkit -f -r -U @1 --tls=require --tls-certificates=@4 --tls-verify-peer file @3",
    ];
    let verify = format!("--tls-certificates={}", good.display());
    for (index, line) in lines.iter().enumerate() {
        let line = line.replace("--tls-certificates=@4", "@4");
        let peer = Peer::start(
            &place(&format!("s{index}")),
            &line,
            &[&object, &place("raw"), &verify],
        );
        let address = peer.address("disk").encrypted();
        let tls = TlsClient::from_folder(&good, None).unwrap();
        let client = Client::connect(&address, with(tls.clone())).unwrap();
        assert!(content_of(&client) == content, "{line}");
        list_exports(&address, with(tls.clone())).unwrap();
        // Without TLS, certificates, with those of others, for another name: nobody gets in.
        let plain = Client::connect(&peer.address("disk"), options()).unwrap_err();
        assert_eq!(plain.kind(), ErrorKind::Denied, "{line}: {plain}");
        let none = Client::connect(&address, options()).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::Invalid, "{line}: {none}");
        for (folder, name) in [
            (&strange, None),
            (&nameless, None),
            (&good, Some("elsewhere")),
        ] {
            let tls = TlsClient::from_folder(folder, name).unwrap();
            let error = Client::connect(&address, with(tls)).unwrap_err();
            let expected = [ErrorKind::Denied, ErrorKind::Unreachable];
            assert!(expected.contains(&error.kind()), "{line}: {error}");
        }
    }
}

#[test]
fn real_clients_speak_tls_with_our_server() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let content = sparse(&place("raw"), SIZE, &dice());
    let good = certificates(&place("good"));
    let strange = certificates(&place("strange"));
    let disk = Arc::new(RawFile::open(&place("raw"), Access::Writable));
    let options = ServerOptions {
        tls: TlsPolicy::Required(TlsServer::mutual(&good).unwrap()),
        ..ServerOptions::default()
    };
    let server = serve(folder.path(), disk, options);
    let socket = folder.path().join("ours.sock");
    let uri = |folder: &std::path::Path| {
        format!(
            "nbds+unix:///disk?socket={}&tls-certificates={}",
            socket.display(),
            folder.display()
        )
    };
    let said = run("nbdinfo @1", &[&uri(&good)]);
    assert!(said.contains("with TLS"), "{said}");
    run("nbdcopy @1 @2", &[&uri(&good), &place("copy")]);
    assert!(fs::read(place("copy")).unwrap() == content);
    run("nbdcopy @1 @2", &[&place("copy"), &uri(&good)]);
    let object = format!("tls-creds-x509,id=t,dir={},endpoint=client", good.display());
    let image = format!(
        "driver=nbd,server.type=unix,server.path={},export=disk,tls-creds=t,tls-hostname=localhost",
        socket.display()
    );
    run(
        "qemu-img convert --object @1 --image-opts -O raw @2 @3",
        &[&object, &image, &place("image")],
    );
    assert!(fs::read(place("image")).unwrap() == content);
    assert!(!try_run("nbdinfo @1", &[&uri(&strange)]).0);
    let plain = format!("nbd+unix:///disk?socket={}", socket.display());
    assert!(!try_run("nbdinfo @1", &[&plain]).0);
    assert!(!try_run("nbdinfo --list @1", &[&plain]).0);
    assert!(
        !try_run(
            "nbdinfo --no-content @1",
            &[&plain.replace("disk", "other")]
        )
        .0
    );
    server.stop(std::time::Duration::from_secs(5));
}

#[test]
fn ours_and_ours_over_tcp_with_tls() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let content = sparse(&place("raw"), SIZE, &dice());
    let good = certificates(&place("good"));
    let exports = lifeboat_nbd::Exports::new();
    let disk = RawFile::open(&place("raw"), Access::Writable);
    exports.publish("disk", Arc::new(disk)).unwrap();
    let server = Server::start(
        Listener::tcp("127.0.0.1", 0).unwrap(),
        exports,
        ServerOptions {
            tls: TlsPolicy::Offered(TlsServer::server_only(&good).unwrap()),
            ..ServerOptions::default()
        },
    )
    .unwrap();
    let address: Address = format!("{}disk", server.address()).parse().unwrap();
    let tls = TlsClient::from_folder(&good, None).unwrap();
    let secret = Client::connect(&address.clone().encrypted(), with(tls)).unwrap();
    let open = Client::connect(&address, options()).unwrap();
    assert!(secret.facts().has_long_requests);
    assert!(content_of(&secret) == content && content_of(&open) == content);
    let bytes = dice().bytes(3 << 20);
    secret.write_at(4096, &bytes, Durability::Forced).unwrap();
    let mut found = vec![0; bytes.len()];
    open.read_into(4096, &mut found).unwrap();
    assert!(found == bytes);
}

#[test]
fn a_server_that_declines_tls_is_told_nothing() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let good = certificates(&folder.path().join("good"));
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let theirs = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"NBDMAGICIHAVEOPT\x00\x03").unwrap();
        let mut heard = vec![0; 20];
        stream.read_exact(&mut heard).unwrap();
        // An attacker in between says that there is no TLS.
        let mut answer = 0x0003_e889_0455_65a9u64.to_be_bytes().to_vec();
        answer.extend([0, 0, 0, 5, 0x80, 0, 0, 1, 0, 0, 0, 0]);
        stream.write_all(&answer).unwrap();
        stream.read_to_end(&mut heard).unwrap();
        heard
    });
    let tls = TlsClient::from_folder(&good, None).unwrap();
    let address = Address::unix(&socket, "secret-name").encrypted();
    let error = Client::connect(&address, with(tls)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(theirs.join().unwrap().len(), 20);
}

#[test]
fn certificates_that_are_missing_or_broken_are_named() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let error = TlsClient::from_folder(folder.path(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("ca-cert.pem"), "{error}");
    let good = certificates(&folder.path().join("good"));
    for name in ["ca-cert.pem", "server-cert.pem", "server-key.pem"] {
        let kept = fs::read(good.join(name)).unwrap();
        fs::write(good.join(name), "nothing").unwrap();
        let error = TlsServer::mutual(&good).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
        assert!(error.to_string().contains(name), "{error}");
        fs::write(good.join(name), kept).unwrap();
    }
    TlsServer::mutual(&good).unwrap();
}

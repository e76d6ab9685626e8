//! The server itself: it listens, admits, and stops when it is asked to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State as In};
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use lifeboat_api::FailureKind;
use lifeboat_model::{CancelToken, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::connection::{Connections, Patient, Seat};
use crate::error::{Error, Result};
use crate::events::look_for_news;
use crate::guard::Peer;
use crate::refusal::Refusal;
use crate::repository_catalog::is_upload;
use crate::routes::router;
use crate::state::State;
use crate::tls::{Encryption, Shown};

/// Scripts, styles and pictures come from this server only, and nobody frames its pages.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// How often certificates are looked at.
const REFRESH: Duration = Duration::from_secs(5);
/// Answers that were begun may end for so long.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often somebody looks whether to stop.
const STOP: Duration = Duration::from_millis(50);
/// Heads of requests are at most so large, in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// What is too much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// Of those from one address.
    pub per_address: usize,
    /// How long the head of a request may take, and the begin of TLS.
    pub head: Duration,
    /// How long a request may take until its answer begins.
    pub request: Duration,
    /// The same for one that brings a catalog along.
    pub upload: Duration,
    /// How long nothing may move on a connection.
    pub idle: Duration,
    /// Bytes of a request's body.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_048,
            per_address: 512,
            head: Duration::from_secs(10),
            request: Duration::from_secs(60),
            upload: Duration::from_secs(900),
            idle: Duration::from_secs(75),
            body: 1024 * 1024,
        }
    }
}

/// How a server is set up.
#[derive(Clone)]
pub struct ServerOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// How it encrypts.
    pub encryption: Encryption,
    /// What is too much.
    pub limits: Limits,
    /// Is told what an operator should know.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A server that listens and does not answer yet.
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    shown: Option<Arc<Shown>>,
    options: ServerOptions,
    state: Arc<State>,
}

impl Server {
    /// Takes the addresses and opens certificates.
    ///
    /// Errors: `Invalid` for unencrypted service to other machines and for certificates that do
    /// not fit; those of the addresses and files.
    pub fn bind(options: ServerOptions, state: Arc<State>) -> Result<Self> {
        let is_open = matches!(options.encryption, Encryption::None);
        if let Some(other) = options
            .listen
            .iter()
            .find(|it| is_open && !it.ip().is_loopback())
        {
            let text = format!(
                "{other} is reached by other machines: without TLS only loopback is served"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let listen = |address: &SocketAddr| {
            let bound = std::net::TcpListener::bind(address);
            let bound = bound.and_then(|it| it.set_nonblocking(true).map(|()| it));
            bound.map_err(|error| Error::of_io(format!("cannot listen on {address}"), &error))
        };
        let listeners = options.listen.iter().map(listen).collect::<Result<_>>()?;
        let shown = Shown::open(&options.encryption, state.clock.now())?.map(Arc::new);
        Ok(Self {
            listeners,
            shown,
            options,
            state,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let bound = self.listeners.iter();
        bound
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// The fingerprint of the own authority, if it has one.
    pub fn fingerprint(&self) -> Option<String> {
        self.shown.as_ref()?.fingerprint()
    }

    /// Says where it listens, what to trust, and how the first user is made.
    ///
    /// Errors: those of the catalog, which knows the users.
    pub fn introduce(&self) -> Result<()> {
        let say = &self.options.say;
        let scheme = if self.shown.is_some() {
            "https"
        } else {
            "http"
        };
        for address in self.addresses() {
            say(&format!("lifeboat serves {scheme}://{address}/"));
        }
        if let (Some(print), Encryption::Own { folder, .. }) =
            (self.fingerprint(), &self.options.encryption)
        {
            let path = folder.join("ca.pem");
            say(&format!("trust {} (SHA-256 {print})", path.display()));
        }
        let key = self.state.new_setup_key();
        let key = key.map_err(|error| Error::new(error.kind(), error.to_string()))?;
        if let Some(key) = key {
            say(&format!(
                "there is no user yet: make the first at /setup with the key {key}"
            ));
            say("or with: lifeboat user add NAME --role admin");
        }
        Ok(())
    }

    /// Answers until `stop` is set; then answers that were begun end, for some seconds.
    ///
    /// Errors: those of the machine's threads and sockets.
    pub fn run(self, stop: &CancelToken) -> Result<()> {
        let failed = |error| Error::of_io("cannot start the server's threads", &error);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .max_blocking_threads(64)
            .thread_name("lifeboat-serve")
            .enable_all()
            .build();
        let runtime = runtime.map_err(failed)?;
        let result = runtime.block_on(self.answer(stop));
        runtime.shutdown_timeout(FAREWELL);
        result
    }

    async fn answer(self, stop: &CancelToken) -> Result<()> {
        let limits = self.options.limits;
        let finishing = Finishing {
            limits,
            is_encrypted: self.shown.is_some(),
        };
        let inside = Arc::new(Inside {
            router: router(&self.state)
                .layer(DefaultBodyLimit::max(limits.body))
                .layer(from_fn_with_state(finishing, finish)),
            connections: Connections::new(limits.connections, limits.per_address),
            shown: self.shown,
            limits,
            say: self.options.say,
            state: self.state,
        });
        let news = tokio::spawn(look_for_news(Arc::clone(&inside.state)));
        let refreshing = tokio::spawn(refresh(Arc::clone(&inside)));
        let mut accepting = Vec::new();
        for listener in self.listeners {
            let listener = TcpListener::from_std(listener);
            let listener = listener.map_err(|error| Error::of_io("cannot listen", &error))?;
            accepting.push(tokio::spawn(accept(Arc::clone(&inside), listener)));
        }
        while !stop.is_cancelled() {
            tokio::time::sleep(STOP).await;
        }
        inside.state.stop.send_replace(true);
        accepting.iter().for_each(|task| task.abort());
        refreshing.abort();
        // Those who still read are cut off.
        let _ = timeout(FAREWELL, inside.connections.all_gone()).await;
        news.abort();
        Ok(())
    }
}

/// What connections share.
struct Inside {
    router: Router,
    connections: Arc<Connections>,
    shown: Option<Arc<Shown>>,
    limits: Limits,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    state: Arc<State>,
}

async fn refresh(inside: Arc<Inside>) {
    let Some(shown) = inside.shown.clone() else {
        return;
    };
    loop {
        tokio::time::sleep(REFRESH).await;
        let (shown, now) = (Arc::clone(&shown), inside.state.clock.now());
        match tokio::task::spawn_blocking(move || shown.refresh(now)).await {
            Ok(Ok(true)) => (inside.say)("another certificate is shown from now on"),
            Ok(Err(error)) => (inside.say)(&format!("the certificate stays as it was: {error}")),
            _ => {}
        }
    }
}

async fn accept(inside: Arc<Inside>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Those who are too many see the connection end.
                if let Some(seat) = inside.connections.admit(peer.ip()) {
                    tokio::spawn(connected(Arc::clone(&inside), stream, peer, seat));
                }
            }
            // Too many files are open: some will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connected(inside: Arc<Inside>, stream: TcpStream, peer: SocketAddr, _seat: Seat) {
    // An answer is sent at once; if that cannot be set, it is sent a little later.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, inside.limits.idle);
    let Some(shown) = &inside.shown else {
        return converse(&inside, stream, peer).await;
    };
    let acceptor = TlsAcceptor::from(shown.config());
    if let Ok(Ok(stream)) = timeout(inside.limits.head, acceptor.accept(stream)).await {
        converse(&inside, stream, peer).await;
    }
}

async fn converse<T>(inside: &Arc<Inside>, stream: T, peer: SocketAddr)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = inside.router.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(inside.limits.head)
        .max_buf_size(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(HEAD_MAX as u32);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut stop = inside.state.stop.subscribe();
    // How a client goes is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|is_stopped| *is_stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(FAREWELL, connection).await;
}

/// What every answer is given.
#[derive(Clone, Copy)]
struct Finishing {
    limits: Limits,
    is_encrypted: bool,
}

async fn finish(In(finishing): In<Finishing>, request: Request, next: Next) -> Response {
    let limits = finishing.limits;
    let is_json = !request.uri().path().starts_with("/assets/");
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // A catalog is counted where it is received, after it is known who sends it.
    let is_upload = is_upload(request.uri().path());
    let is_large = length.is_some_and(|length| length > limits.body as u64);
    let patience = if is_upload {
        limits.upload
    } else {
        limits.request
    };
    let mut answer = if is_large && !is_upload {
        let text = format!("the body is larger than {} bytes", limits.body);
        Refusal::new(FailureKind::TooLarge, text).into_response()
    } else {
        match timeout(patience, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                let text = "the request took too long";
                Refusal::new(FailureKind::TooSlow, text).into_response()
            }
        }
    };
    let headers = answer.headers_mut();
    let mut put = |name, value| headers.insert(name, HeaderValue::from_static(value));
    put(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    put(X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(X_FRAME_OPTIONS, "DENY");
    put(REFERRER_POLICY, "same-origin");
    if finishing.is_encrypted {
        put(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if is_json && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

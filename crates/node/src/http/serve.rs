//! Accept loops and the life of a connection.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::auth::Peer;
use super::limit::Slots;
use super::router::{for_peer, router};
use super::service::NodeService;

/// Becomes true when the node stops; a dropped sender means the same.
pub type Shutdown = watch::Receiver<bool>;

/// Waits until the node stops.
pub async fn stopped(mut shutdown: Shutdown) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// API connections at once, in all.
const CONNECTIONS: usize = 256;
/// API connections at once from one address.
const CONNECTIONS_EACH: usize = 32;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long open requests may go on after the node was told to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Bounds of one HTTP/1.1 connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// How long a request's head may take, and how long a connection may idle between requests.
    pub(crate) head: Duration,
    /// How long the connection may live at all; `None` where streams are expected.
    pub(crate) life: Option<Duration>,
    /// The largest request head, in bytes (hyper takes no less than 8 KiB).
    pub(crate) buffer: usize,
}

const API: ConnectionLimits = ConnectionLimits { head: Duration::from_secs(10), life: None, buffer: 64 << 10 };

/// Serves HTTP/1.1 on one connection until it ends, its life is over, or the node stops.
pub(crate) async fn serve_connection<S>(stream: S, router: Router, limits: ConnectionLimits, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.buffer)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let life = async {
        match limits.life {
            Some(life) => tokio::time::sleep(life).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(e) = ended {
                tracing::debug!(error = %e, "HTTP connection ended early");
            }
            return;
        }
        () = life => return,
        () = stopped(shutdown) => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(FAREWELL, connection).await;
}

/// Opens the node's own socket. A socket file that nobody listens on any more is replaced; one that answers is an
/// `AddrInUse` error, and any other kind of file stays where it is. Mode 0660: who may connect without a token is
/// decided per connection, by user id.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                let text = format!("another process answers on {}; stop it first", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            Err(_) => std::fs::remove_file(path)?,
        },
        Ok(_) => {
            let text = format!("{} exists and is not a socket; remove it or choose another path", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves the API on the node's own socket until the node stops.
pub async fn serve_unix(listener: UnixListener, service: Arc<dyn NodeService>, shutdown: Shutdown) {
    let router = router(service, shutdown.clone());
    // One address stands for all local processes: only the limit in all counts.
    let slots = Slots::new(CONNECTIONS, CONNECTIONS);
    let mut tasks = JoinSet::new();
    while let Some((stream, _)) = next(&shutdown, &mut tasks, || listener.accept()).await {
        let (Some(slot), Ok(uid)) = (slots.take([0, 0, 0, 0].into()), peer_uid(&stream)) else { continue };
        let router = for_peer(&router, Peer::Local { uid });
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            serve_connection(stream, router, API, shutdown).await;
            drop(slot);
        });
    }
    drain(tasks).await;
}

fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    stream.peer_cred().map(|c| c.uid())
}

/// Serves the API over TLS until the node stops.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    service: Arc<dyn NodeService>,
    shutdown: Shutdown,
) {
    let router = router(service, shutdown.clone());
    let acceptor = TlsAcceptor::from(tls);
    let slots = Slots::new(CONNECTIONS, CONNECTIONS_EACH);
    let mut tasks = JoinSet::new();
    while let Some((stream, address)) = next(&shutdown, &mut tasks, || listener.accept()).await {
        let Some(slot) = slots.take(address.ip()) else { continue };
        let router = for_peer(&router, Peer::Remote(address));
        let (acceptor, shutdown) = (acceptor.clone(), shutdown.clone());
        tasks.spawn(async move {
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => serve_connection(stream, router, API, shutdown).await,
                Ok(Err(e)) => tracing::debug!(%address, error = %e, "TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
            }
            drop(slot);
        });
    }
    drain(tasks).await;
}

/// The next connection; `None` when the node stops. Finished tasks are collected on the way, and a failing accept (too
/// many open files, say) is retried slowly rather than in a tight loop.
pub(crate) async fn next<T, F, A>(shutdown: &Shutdown, tasks: &mut JoinSet<()>, accept: A) -> Option<T>
where
    F: Future<Output = io::Result<T>>,
    A: Fn() -> F,
{
    loop {
        tokio::select! {
            () = stopped(shutdown.clone()) => return None,
            Some(_) = tasks.join_next() => {}
            accepted = accept() => match accepted {
                Ok(connection) => return Some(connection),
                Err(e) => {
                    tracing::warn!(error = %e, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// Waits for open connections to end; each bounds its own farewell.
pub(crate) async fn drain(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

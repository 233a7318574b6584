//! The API over real sockets, with a fake node behind it.

mod api;
mod fake;
mod slow;

use std::path::Path;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// A client on an open connection.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Sender {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A client on the node's own socket.
pub(crate) async fn unix(path: &Path) -> Sender {
    handshake(tokio::net::UnixStream::connect(path).await.unwrap()).await
}

/// Sends, and reads the whole answer.
pub(crate) async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

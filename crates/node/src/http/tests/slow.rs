//! Clients that take their time. Nothing here waits for a clock: each test ends when the server hangs up.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::watch;

use crate::http::{ConnectionLimits, serve_connection};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(20);

fn limits(head: Duration, life: Option<Duration>) -> ConnectionLimits {
    ConnectionLimits { head, life, buffer: 16 << 10 }
}

/// What the server says to these bytes until it hangs up, while the client keeps its side open.
async fn until_hung_up(bytes: &[u8], limits: ConnectionLimits, stop: bool) -> String {
    let router =
        Router::new().route("/", get(|| async { "here" })).route("/never", get(std::future::pending::<&'static str>));
    let (mut client, server) = duplex(64 << 10);
    let (stopper, shutdown) = watch::channel(false);
    let task = tokio::spawn(serve_connection(server, router, limits, shutdown));
    client.write_all(bytes).await.unwrap();
    if stop {
        stopper.send(true).unwrap();
    }
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    task.await.unwrap();
    said
}

#[tokio::test]
async fn half_a_head_is_given_up() {
    let said = until_hung_up(b"GET / HTTP/1.1\r\nhost: x\r\nslow", limits(SHORT, None), false).await;
    assert!(!said.contains("200 OK"), "{said}");
}

#[tokio::test]
async fn an_idle_connection_is_given_up() {
    let said = until_hung_up(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", limits(SHORT, None), false).await;
    assert!(said.ends_with("here"), "{said}");
}

#[tokio::test]
async fn a_life_is_over_whatever_goes_on() {
    let said = until_hung_up(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n", limits(LONG, Some(SHORT)), false).await;
    assert_eq!(said, "");
}

#[tokio::test]
async fn a_stopping_node_hangs_up_on_idle_connections() {
    let said = until_hung_up(b"", limits(LONG, None), true).await;
    assert_eq!(said, "");
}

//! Round trips, roles, bodies, pages, events, TLS.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use fseg_api::*;
use fseg_model::Mac;
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fake::{Fake, entry};
use super::{Sender, handshake, send, unix};
use crate::http::{TlsIdentity, TlsSource, bind_unix, serve_tls, serve_unix};

struct Running {
    fake: Arc<Fake>,
    folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        let (fake, folder, (stop, shutdown)) = (Fake::new(), tempfile::tempdir().unwrap(), watch::channel(false));
        let listener = bind_unix(&folder.path().join("api.sock")).unwrap();
        let task = tokio::spawn(serve_unix(listener, fake.clone(), shutdown));
        Self { fake, folder, stop, task }
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }
    async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Response<Bytes> {
        send(&mut unix(&self.path()).await, request(method, path, token, body)).await
    }
    fn calls(&self) -> Vec<(OperationId, String)> {
        std::mem::take(&mut self.fake.calls.lock().unwrap())
    }
}

fn request(method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "node");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(body.unwrap_or_default().to_owned())).unwrap()
}

fn error(response: &Response<Bytes>) -> ApiError {
    serde_json::from_slice(response.body()).unwrap_or_else(|e| panic!("{e}: {:?}", response.body()))
}

/// A path and body that the operation accepts.
fn sample(op: &Operation) -> (String, Option<String>) {
    let name = if op.id == OperationId::PolicyVersion { "7" } else { "anna" };
    let path = op.path.replace("{name}", name).replace("{cookie}", "0x2a");
    let body = match op.request {
        Body::Json("ExplainRequest") => json!({"from": "anna", "to": "crm-1", "service": "tcp/443"}),
        Body::Json("TraceRequest") => json!({"from": "anna", "to": "crm-1", "service": "tcp/443"}),
        Body::Json("PolicyApply") => json!({"text": "groups: {}", "file_name": "office.yaml"}),
        Body::Json("PlanRequest") => json!({"text": "groups: {}", "file_name": "office.yaml", "offset": 2}),
        Body::Json("DiffRequest") => json!({"from": 1}),
        Body::Json("AccountNew") => json!({"name": "anna", "password": "secret"}),
        Body::Json("AccountChange") => json!({"disabled": true}),
        Body::Json("DevicePut") => json!({"mac": Mac::ZERO}),
        Body::Json("EnrolNew") => json!({"valid_seconds": 86_400}),
        Body::Json("TokenNew") => json!({"name": "ci", "role": "viewer"}),
        Body::Empty => return (path, None),
        other => panic!("no sample for {other:?}"),
    };
    (path, Some(body.to_string()))
}

#[tokio::test]
async fn every_route_demands_its_role_before_it_does_anything() {
    let node = Running::start();
    for op in OPERATIONS {
        let (path, body) = sample(op);
        for role in Role::ALL {
            if op.id == OperationId::Events && Some(role) >= op.role {
                continue; // An endless answer: it has its own test.
            }
            let got = node.call(op.method.as_str(), &path, Some(role.as_str()), body.as_deref()).await;
            let calls = node.calls();
            let what = format!("{:?} as {role}: {} {:?}", op.id, got.status(), got.body());
            if op.role.is_some_and(|least| role < least) {
                assert_eq!(got.status(), 403, "{what}");
                assert_eq!(error(&got).code, ErrorCode::Forbidden);
                assert!(calls.is_empty(), "{what}: the service was asked: {calls:?}");
            } else {
                assert!(got.status().is_success(), "{what}");
                assert_eq!(got.status() == 204, op.response == fseg_api::Body::Empty, "{what}");
                if op.role.is_some() && op.id != OperationId::Health {
                    assert_eq!(calls, [(op.id, format!("the {role}"))]);
                }
            }
        }
        let wrong = node.call(op.method.as_str(), &path, Some("stolen"), body.as_deref()).await;
        assert_eq!(wrong.status() == 401, op.role.is_some(), "{:?} with a wrong token: {}", op.id, wrong.status());
    }
}

#[tokio::test]
async fn the_local_user_needs_no_token_and_a_wrong_one_is_still_wrong() {
    let node = Running::start();
    assert_eq!(node.call("GET", "/api/v1/tokens", None, None).await.status(), 200);
    let own = nix::unistd::geteuid();
    let name = if own.is_root() { "root".to_owned() } else { format!("local:{own}") };
    assert_eq!(node.calls(), [(OperationId::Tokens, name)]);
    for bad in ["Bearer", "Bearer ", "Basic YTpi", "viewer", &format!("Bearer {}", "x".repeat(300))] {
        let request =
            Request::get("/api/v1/endpoints").header("host", "n").header("authorization", bad).body(Full::default());
        let got = send(&mut unix(&node.path()).await, request.unwrap()).await;
        assert_eq!(got.status(), 401, "{bad:?}");
        assert_eq!(got.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
    let mode = std::fs::metadata(node.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[tokio::test]
async fn the_version_to_match_is_a_number() {
    let node = Running::start();
    let body = r#"{"text": "groups: {}", "file_name": "p"}"#;
    for (value, status) in [("\"3\"", 200), ("3", 200), ("*", 400), ("\"three\"", 400), ("-1", 400)] {
        let mut request = request("POST", "/api/v1/policy", Some("admin"), Some(body));
        request.headers_mut().insert(header::IF_MATCH, value.parse().unwrap());
        let got = send(&mut unix(&node.path()).await, request).await;
        assert_eq!(got.status(), status, "{value}: {:?}", got.body());
    }
    let got = node.call("GET", "/api/v1/policy/versions/newest", Some("viewer"), None).await;
    assert_eq!(got.status(), 400);
}

#[tokio::test]
async fn broken_bodies_are_refused_with_their_place() {
    let node = Running::start();
    for (body, expected) in [
        ("", "the body is empty"),
        ("{", "line 1 column 1"),
        ("{\n \"from\": 3", "line 2 column 10"),
        ("{\"from\": \"a\", \"to\": \"b\"}", "missing field `service`"),
        ("{\"from\":\"a\",\"to\":\"b\",\"service\":\"c\",\"x\":1}", "unknown field `x`"),
        ("{\"from\":\"a\",\"to\":\"b\",\"service\":\"c\"} x", "trailing characters"),
        ("\u{feff}null", "line 1 column 1"),
        (&"[".repeat(1000), "invalid type: sequence"),
    ] {
        let got = node.call("POST", "/api/v1/explain", None, Some(body)).await;
        assert_eq!(got.status(), 400, "{body:?}");
        let error = error(&got);
        assert!(error.message.contains(expected), "{body:?}: {}", error.message);
    }
    let mut unmarked = request("POST", "/api/v1/explain", None, Some("{}"));
    unmarked.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(send(&mut unix(&node.path()).await, unmarked).await.status(), 400);
    assert!(node.calls().is_empty());
}

#[tokio::test]
async fn bodies_are_bounded_by_their_route() {
    let node = Running::start();
    let of = |bytes: usize| json!({"text": "x".repeat(bytes), "file_name": "f"}).to_string();
    assert_eq!(node.call("POST", "/api/v1/policy", None, Some(&of(15 << 20))).await.status(), 200);
    let long = json!({"from": "x".repeat(65 << 10), "to": "", "service": ""}).to_string();
    let got = node.call("POST", "/api/v1/explain", None, Some(&long)).await;
    assert_eq!((got.status().as_u16(), error(&got).code), (413, ErrorCode::TooLarge));
    let got = node.call("POST", "/api/v1/policy", None, Some(&of(17 << 20))).await;
    assert_eq!(got.status(), 413);
}

#[tokio::test]
async fn a_refused_policy_is_422_with_its_result() {
    let node = Running::start();
    let body = json!({"text": "broken", "file_name": "f"}).to_string();
    for path in ["/api/v1/policy", "/api/v1/policy/check"] {
        let got = node.call("POST", path, None, Some(&body)).await;
        assert_eq!(got.status(), 422);
        let result: PolicyResult = serde_json::from_slice(got.body()).unwrap();
        assert!(!result.accepted && !result.applied);
    }
}

#[tokio::test]
async fn paths_names_cookies_and_pages_are_checked() {
    let node = Running::start();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/accounts/anna", 405),
        ("DELETE", "/api/v1/accounts/-anna", 400),
        ("DELETE", "/api/v1/accounts/an%2fna", 400),
        ("DELETE", "/api/v1/accounts/%ff", 400),
        ("DELETE", "/api/v1/accounts/%E5%96%B6%E6%A5%AD", 204),
        ("GET", "/api/v1/why/42", 200),
        ("GET", "/api/v1/why/0xffffffffffffffff", 200),
        ("GET", "/api/v1/why/0x10000000000000000", 400),
        ("GET", "/api/v1/why/0x", 400),
        ("GET", "/api/v1/why/+1", 400),
        ("GET", "/api/v1/why/2a", 400),
        ("GET", "/api/v1/log?before=x", 400),
        ("GET", "/api/v1/log?limit=-1", 400),
    ] {
        let got = node.call(method, path, None, None).await;
        assert_eq!(got.status(), status, "{method} {path}");
        if got.status().is_client_error() {
            assert!(!error(&got).message.is_empty());
        }
    }
    for (query, count, first) in
        [("", 100, 5000), ("?limit=3&before=10", 3, 9), ("?limit=100000", 1000, 5000), ("?limit=0", 1, 5000)]
    {
        let got = node.call("GET", &format!("/api/v1/log{query}"), None, None).await;
        let entries: Vec<LogEntry> = serde_json::from_slice(got.body()).unwrap();
        assert_eq!((entries.len(), entries[0].seq), (count, first), "{query:?}");
    }
}

#[tokio::test]
async fn failures_of_the_service_reach_the_caller() {
    let node = Running::start();
    let body = json!({"name": "taken", "password": "x"}).to_string();
    let got = node.call("POST", "/api/v1/accounts", None, Some(&body)).await;
    assert_eq!((got.status().as_u16(), error(&got).message.as_str()), (409, "the account `taken` exists"));
    *node.fake.healthy.lock().unwrap() = false;
    assert_eq!(node.call("GET", "/readyz", Some("none"), None).await.status(), 503);
    assert_eq!(node.call("GET", "/healthz", Some("none"), None).await.status(), 200);
    let health: Health = serde_json::from_slice(node.call("GET", "/api/v1/health", None, None).await.body()).unwrap();
    assert!(!health.ok);
}

#[tokio::test]
async fn the_document_is_served_as_it_is() {
    let node = Running::start();
    let got = node.call("GET", "/api/v1/openapi.json", Some("none"), None).await;
    let served: Value = serde_json::from_slice(got.body()).unwrap();
    assert_eq!(served, serde_json::to_value(document()).unwrap());
    let text = node.call("GET", "/metrics", Some("viewer"), None).await;
    assert!(text.body().ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn a_made_token_works_until_it_is_revoked() {
    let node = Running::start();
    let body = json!({"name": "ci", "role": "operator"}).to_string();
    let got = node.call("POST", "/api/v1/tokens", Some("admin"), Some(&body)).await;
    let created: TokenCreated = serde_json::from_slice(got.body()).unwrap();
    let token = created.token.expose();
    assert_eq!(node.call("GET", "/api/v1/accounts", Some(token), None).await.status(), 200);
    assert_eq!(node.call("GET", "/api/v1/tokens", Some(token), None).await.status(), 403);
    assert_eq!(node.call("DELETE", "/api/v1/tokens/ci", Some("admin"), None).await.status(), 204);
    assert_eq!(node.call("GET", "/api/v1/accounts", Some(token), None).await.status(), 401);
}

/// Reads event frames until one satisfies, or the stream ends.
async fn until(body: &mut hyper::body::Incoming, done: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    while !done(&text) {
        let Some(frame) = body.frame().await else { break };
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn events_arrive_in_order_and_stop_with_the_node() {
    let node = Running::start();
    let mut sender = unix(&node.path()).await;
    let response = sender.send_request(request("GET", "/api/v1/events", Some("viewer"), None)).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    for seq in 1..=3 {
        node.fake.events.send(entry(seq)).unwrap();
        let text = until(&mut body, |t| t.ends_with("\n\n")).await;
        let line = text.lines().find_map(|l| l.strip_prefix("data: ")).unwrap();
        assert_eq!(serde_json::from_str::<LogEntry>(line).unwrap(), entry(seq));
        assert!(text.contains(&format!("id: {seq}\n")) && text.contains("event: admitted\n"), "{text}");
    }
    node.stop.send(true).unwrap();
    assert_eq!(until(&mut body, |_| false).await, "");
    node.task.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_off() {
    let node = Running::start();
    let mut sender = unix(&node.path()).await;
    let response = sender.send_request(request("GET", "/api/v1/events", None, None)).await.unwrap();
    // One thread runs this test: the server cannot send in between, so the channel of 4 overflows.
    for seq in 1..=9 {
        node.fake.events.send(entry(seq)).unwrap();
    }
    let text = until(&mut response.into_body(), |_| false).await;
    assert!(text.contains("event: cut-off\ndata: 5 entries behind"), "{text}");
    assert!(!text.contains("admitted"), "{text}");
}

async fn tls_client(folder: &std::path::Path, address: std::net::SocketAddr) -> Sender {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("api.crt")).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    handshake(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()).await
}

#[tokio::test]
async fn over_tls_everything_but_health_and_document_needs_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let source = TlsSource::SelfSigned { folder: folder.path().to_owned(), names: vec!["localhost".into()] };
    let identity = TlsIdentity::load(&source).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (fake, (stop, shutdown)) = (Fake::new(), watch::channel(false));
    let task = tokio::spawn(serve_tls(listener, identity.config, fake.clone(), shutdown));
    // Who does not speak TLS is not served, and does not disturb.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP"));
    let mut client = tls_client(folder.path(), address).await;
    for op in OPERATIONS {
        let (path, body) = sample(op);
        let got = send(&mut client, request(op.method.as_str(), &path, None, body.as_deref())).await;
        let expected = if op.role.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        assert_eq!(got.status(), expected, "{:?}", op.id);
    }
    assert!(fake.calls.lock().unwrap().is_empty());
    let got = send(&mut client, request("GET", "/api/v1/sessions", Some("viewer"), None)).await;
    assert_eq!(got.status(), 200);
    stop.send(true).unwrap();
    task.await.unwrap();
}

#[tokio::test]
async fn garbage_and_huge_heads_end_the_connection_only() {
    let node = Running::start();
    let huge = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200 << 10));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(100));
    for bytes in [b"\x16\x03\x01garbage\r\n\r\n".as_slice(), huge.as_bytes(), many.as_bytes()] {
        let mut stream = UnixStream::connect(node.path()).await.unwrap();
        // The server may close before it has read all: only what it says counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    assert_eq!(node.call("GET", "/healthz", None, None).await.status(), 200);
}

#[tokio::test]
async fn the_socket_file_is_replaced_only_when_dead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let first = bind_unix(&path).unwrap();
    let taken = bind_unix(&path).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    drop(first);
    drop(bind_unix(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(bind_unix(&path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

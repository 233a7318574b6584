//! The client against a server that says what the test wants it to say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, their helpers included")]

use std::time::Duration;

use fseg_ovsdb::{Applied, BridgeSpec, Client, OvsdbError, Remote, ensure_bridge};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// The server's side of the connection.
struct Server {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Server {
    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next message of the client.
    async fn hear(&mut self) -> Value {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                let used = values.byte_offset();
                self.buffer.drain(..used);
                return value;
            }
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "the client is gone");
        }
    }

    /// Hears a call, checks its method, answers it.
    async fn answer(&mut self, method: &str, result: Value) -> Value {
        let call = self.hear().await;
        assert_eq!(call["method"], method);
        let reply = json!({ "id": call["id"], "result": result, "error": null });
        self.say(reply.to_string().as_bytes()).await;
        call["params"].clone()
    }
}

async fn pair() -> (TempDir, Client, Server) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = Client::connect(&Remote::Unix(path), Duration::from_secs(30)).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    (dir, client, Server { stream, buffer: Vec::new() })
}

#[tokio::test]
async fn calls_are_answered_in_any_order_and_echo_in_between() {
    let (_dir, client, mut server) = pair().await;
    let script = async {
        let (first, second) = (server.hear().await, server.hear().await);
        server.say(b"{\"method\":\"echo\",\"params\":[\"hi\"],\"id\":\"echo\"}{\"method\":\"locked\",\"params\":[],\"id\":null}").await;
        assert_eq!(server.hear().await, json!({ "id": "echo", "result": ["hi"], "error": null }));
        for (call, result) in [(second, json!(["b"])), (first, json!(["a"]))] {
            let bytes = json!({ "id": call["id"], "result": result, "error": null }).to_string().into_bytes();
            for byte in bytes {
                server.say(&[byte]).await;
            }
        }
    };
    let (a, b, ()) = tokio::join!(client.list_dbs(), client.get_schema("x"), script);
    assert_eq!((a, b), (Ok(vec!["a".to_owned()]), Ok(json!(["b"]))));
}

#[tokio::test]
async fn failures_name_the_operation() {
    let (_dir, client, mut server) = pair().await;
    let ops = [json!({ "op": "wait" }), json!({ "op": "insert" })];
    let failed = json!({ "error": "constraint violation", "details": "no such column x" });
    let (error, details) = ("constraint violation".to_owned(), "no such column x".to_owned());
    for (result, expected) in [
        (
            json!([{}, failed]),
            OvsdbError::Operation { index: 1, op: "insert".into(), error: error.clone(), details: details.clone() },
        ),
        (
            json!([failed, null]),
            OvsdbError::Operation { index: 0, op: "wait".into(), error: error.clone(), details: details.clone() },
        ),
        (json!([{}, {}, failed]), OvsdbError::Commit { error, details }),
    ] {
        let (outcome, params) = tokio::join!(client.transact("db", &ops), server.answer("transact", result));
        assert_eq!(outcome, Err(expected));
        assert_eq!(params, json!(["db", ops[0], ops[1]]));
    }
    let (outcome, _) = tokio::join!(client.transact("db", &ops), server.answer("transact", json!([{}])));
    assert!(matches!(outcome, Err(OvsdbError::Answer { .. })), "{outcome:?}");
    let refuse = async {
        let call = server.hear().await;
        let error = json!({ "error": "unknown database", "details": "no db" });
        server.say(json!({ "id": call["id"], "result": null, "error": error }).to_string().as_bytes()).await;
    };
    let (outcome, ()) = tokio::join!(client.transact("db", &ops), refuse);
    assert_eq!(outcome.unwrap_err().to_string(), "`transact` was refused: unknown database: no db");
}

#[tokio::test]
async fn a_monitor_gives_first_the_rows_then_each_change() {
    let (_dir, client, mut server) = pair().await;
    let script = async {
        let call = server.hear().await;
        let id = call["params"][1].clone();
        let update = |n: u32| json!({ "method": "update", "params": [id, { "T": n }], "id": null }).to_string();
        // In one write, so that the client has the update before anybody could take it.
        let reply = json!({ "id": call["id"], "result": { "T": 0 }, "error": null }).to_string();
        server.say(format!("{reply}{}{}", update(1), update(2)).as_bytes()).await;
    };
    let (monitor, ()) = tokio::join!(client.monitor("db", json!({})), script);
    let mut monitor = monitor.unwrap();
    assert_eq!(monitor.initial(), &json!({ "T": 0 }));
    for n in 1..3 {
        assert_eq!(monitor.next().await, Ok(json!({ "T": n })));
    }
    let (outcome, params) = tokio::join!(client.cancel(monitor), server.answer("monitor_cancel", json!({})));
    assert_eq!((outcome, params), (Ok(()), json!(["fseg-0"])));
}

#[tokio::test]
async fn a_monitor_that_nobody_reads_ends_instead_of_growing() {
    let (_dir, client, mut server) = pair().await;
    let (monitor, _) = tokio::join!(client.monitor("db", json!({})), server.answer("monitor", json!({})));
    let mut monitor = monitor.unwrap();
    for n in 0..2000 {
        server.say(json!({ "method": "update", "params": ["fseg-0", n], "id": null }).to_string().as_bytes()).await;
    }
    assert_eq!(server.answer("monitor_cancel", json!({})).await, json!(["fseg-0"]));
    // The answer comes after the updates, and is not held up by them.
    let (dbs, _) = tokio::join!(client.list_dbs(), server.answer("list_dbs", json!([])));
    assert_eq!(dbs, Ok(vec![]));
    let mut taken = 0;
    while let Ok(update) = monitor.next().await {
        assert_eq!(update, json!(taken));
        taken += 1;
    }
    assert!((1..2000).contains(&taken), "{taken} updates were kept");
}

#[tokio::test]
async fn whatever_is_not_json_rpc_ends_the_connection_with_its_reason() {
    let deep = format!("{{\"id\":{}", "[".repeat(100));
    let long = format!("{{\"id\":\"{}", "x".repeat(17 << 20));
    for (bytes, reason) in [
        ("HTTP/1.1 400 Bad Request\r\n", "begins with"),
        ("[1]", "begins with"),
        ("{\"id\":}", "not JSON"),
        ("{\"id\":\"\\ud800\"}", "not JSON"),
        (deep.as_str(), "nested"),
        (long.as_str(), "longer"),
    ] {
        let (_dir, client, mut server) = pair().await;
        let script = async {
            server.hear().await;
            // The client hangs up before it has all of the long one.
            let _ = server.stream.write_all(bytes.as_bytes()).await;
        };
        let (outcome, ()) = tokio::join!(client.list_dbs(), script);
        assert!(matches!(&outcome, Err(OvsdbError::Protocol { detail, .. }) if detail.contains(reason)), "{outcome:?}");
        assert_eq!(client.list_dbs().await, outcome, "a later call is not told why");
        assert_eq!(client.ending(), outcome.as_ref().err());
    }
}

#[tokio::test]
async fn odd_messages_are_ignored_and_the_connection_lives() {
    let (_dir, client, mut server) = pair().await;
    for odd in [
        "{}",
        "{\"id\":null,\"error\":\"?\"}",
        "{\"id\":99,\"result\":1}",
        "{\"id\":-1}",
        "{\"method\":7}",
        "{\"method\":\"update\"}",
        "{\"method\":\"update\",\"params\":[\"fseg-9\",{}]}",
        "{\"method\":\"update\",\"params\":{\"a\":[]}}",
    ] {
        server.say(odd.as_bytes()).await;
    }
    server.say(b"{\"method\":\"dance\",\"id\":1,\"params\":[]}").await;
    assert_eq!(server.hear().await["error"], "unknown method");
    let (dbs, _) = tokio::join!(client.list_dbs(), server.answer("list_dbs", json!(["x", 1])));
    assert!(matches!(dbs, Err(OvsdbError::Answer { .. })), "{dbs:?}");
    let (dbs, _) = tokio::join!(client.list_dbs(), server.answer("list_dbs", json!(["x"])));
    assert_eq!(dbs, Ok(vec!["x".to_owned()]));
}

#[tokio::test]
async fn an_end_reaches_every_waiting_call_and_monitor() {
    let (_dir, client, mut server) = pair().await;
    let (monitor, _) = tokio::join!(client.monitor("db", json!({})), server.answer("monitor", json!({})));
    let script = async {
        server.hear().await;
        server.hear().await;
        drop(server);
    };
    let (a, b, ()) = tokio::join!(client.list_dbs(), client.get_schema("x"), script);
    assert!(matches!((&a, &b), (Err(OvsdbError::Closed { .. }), Err(OvsdbError::Closed { .. }))), "{a:?} {b:?}");
    assert_eq!(monitor.unwrap().next().await, Err(OvsdbError::MonitorLost));
}

#[tokio::test]
async fn a_silent_server_does_not_hold_a_call_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = Client::connect(&Remote::Unix(path.clone()), Duration::from_millis(20)).await.unwrap();
    let held = listener.accept().await.unwrap();
    assert!(matches!(client.list_dbs().await, Err(OvsdbError::Timeout { call: "list_dbs", .. })));
    drop((held, listener));
    std::fs::remove_file(&path).unwrap();
    let refused = Client::connect(&Remote::Unix(path), Duration::from_secs(30)).await.unwrap_err();
    assert!(matches!(refused, OvsdbError::Connect { .. }), "{refused}");
}

#[tokio::test]
async fn tcp_remotes_are_reached_by_name_and_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let remote: Remote = format!("tcp:{host}:{port}").parse().unwrap();
        let client = Client::connect(&remote, Duration::from_secs(30)).await.unwrap();
        let script = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 1000]).await.unwrap(), 0);
            stream.write_all(b"{\"id\":0,\"result\":[\"x\"],\"error\":null}").await.unwrap();
        };
        let (dbs, ()) = tokio::join!(client.list_dbs(), script);
        assert_eq!(dbs, Ok(vec!["x".to_owned()]));
    }
}

/// The server side of one attempt at a bridge: an empty database is read, then the transaction gets this result.
async fn attempt(server: &mut Server, outcome: Value) {
    let root = json!({ "rows": [{ "_uuid": ["uuid", "r"], "bridges": ["set", []], "next_cfg": 3 }] });
    let none = json!({ "rows": [] });
    server.answer("transact", json!([root, none, none, none, none])).await;
    let params = server.answer("transact", outcome).await;
    assert_eq!(params[1]["op"], "wait", "the transaction is not guarded");
}

#[tokio::test]
async fn a_lost_race_is_planned_anew_but_not_for_ever() {
    let (_dir, client, mut server) = pair().await;
    let spec = BridgeSpec { name: "b".into(), datapath_id: 1, ..BridgeSpec::default() };
    let lost = json!([{ "error": "timed out", "details": "" }, null, null, null, null, null, null]);
    let script = async {
        for _ in 0..5 {
            attempt(&mut server, lost.clone()).await;
        }
    };
    let (outcome, ()) = tokio::join!(ensure_bridge(&client, &spec, "n"), script);
    assert_eq!(outcome, Err(OvsdbError::Contention { bridge: "b".into(), attempts: 5 }));

    let script = async {
        attempt(&mut server, lost.clone()).await;
        attempt(&mut server, json!([{}, {}, {}, {}, {}, {}, { "rows": [{ "next_cfg": 4 }] }])).await;
        let call = server.hear().await;
        let cfg = |n: u32| json!({ "Open_vSwitch": { "r": { "new": { "cur_cfg": n } } } });
        let update = json!({ "id": null, "method": "update", "params": [call["params"][1], cfg(4)] });
        server.say(json!({ "id": call["id"], "result": cfg(3), "error": null }).to_string().as_bytes()).await;
        server.say(update.to_string().as_bytes()).await;
        server.answer("monitor_cancel", json!({})).await;
        server.answer("transact", json!([{ "rows": [{ "name": "b", "error": ["set", []], "ofport": 65534 }] }])).await;
    };
    let (outcome, ()) = tokio::join!(ensure_bridge(&client, &spec, "n"), script);
    assert_eq!(outcome, Ok(vec![Applied::BridgeCreated("b".into()), Applied::PortAdded("b".into())]));
}

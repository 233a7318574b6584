//! Portal and API under bad input, and a guesser at the portal.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fseg_scenes::SceneError;
use fseg_scenes::node::{Login, portal_login};
use fseg_scenes::office::{Office, PASSWORD, ROUTER};

use crate::support::{Case, Told, api, bring, check, form_token, fseg, pings, plug, portal, roll, unnoticed, workers};

/// Requests that are none.
fn garbage() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n",
        "POST /login HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: -1\r\n\r\n",
        "POST /login HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST /login HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /login HTTP/1.1\r\nHost: 10.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /login HTTP/1.1\r\nHost: 10.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nffffffffffffffff0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    // Too long in every way: path, one header, many headers.
    out.push(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000)).into_bytes());
    out.push(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(200_000)).into_bytes());
    out.push(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(5000)).into_bytes());
    out
}

/// Sends bytes and reads what comes until the other side ends it.
fn talk<S: Read + Write>(mut stream: S, bytes: &[u8], close: impl FnOnce(&S)) -> Told<String> {
    // The other side may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    close(&stream);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
            Err(SceneError::wrong(format!("no end after {}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]))))
        }
        // A reset after an answer is an end too.
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// Answered with a refusal or a redirection, or not at all: anything but success.
fn not_well(answer: &str, bytes: &[u8]) -> Told {
    check(!answer.starts_with("HTTP/1.1 2"), || {
        format!(
            "`{}` was answered with {}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(80)]),
            answer.lines().next().unwrap_or("")
        )
    })
}

fn io(e: std::io::Error) -> SceneError {
    SceneError::wrong(e.to_string())
}

#[test]
fn malformed_requests_change_nothing() {
    Case::new("http::malformed_requests_change_nothing").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let before = roll(office)?;
        let policy = office.node.json(&["policy"])?;
        let patience = Some(Duration::from_secs(30));
        unnoticed(office, || {
            for bytes in garbage() {
                let stream = TcpStream::connect((ROUTER, 80)).map_err(io)?;
                stream.set_read_timeout(patience).map_err(io)?;
                let close = |s: &TcpStream| drop(s.shutdown(std::net::Shutdown::Write));
                not_well(&talk(stream, &bytes, close)?, &bytes)?;
                let stream = UnixStream::connect(office.node.socket()).map_err(io)?;
                stream.set_read_timeout(patience).map_err(io)?;
                let close = |s: &UnixStream| drop(s.shutdown(std::net::Shutdown::Write));
                not_well(&talk(stream, &bytes, close)?, &bytes)?;
            }
            portal_refuses(office)?;
            api_refuses(office)
        })?;
        let after = roll(office)?;
        check(before == after, || format!("malformed requests changed something: {before:#?} became {after:#?}"))?;
        check(office.node.json(&["policy"])? == policy, || "the policy changed".into())?;
        bring(office, &["sales-2"])
    });
}

fn portal_refuses(office: &Office<'_>) -> Told {
    let stranger = office.endpoint("stranger")?;
    let big = format!("account={}", "x".repeat(100_000));
    let long = format!("X-Long: {}", "y".repeat(60_000));
    let json = ["-H", "Content-Type: application/json"];
    for (path, args, expected) in [
        ("/login", &["-d", "account=sales-1&password=x"][..], 400),
        ("/login", &["-d", "token=forged&account=sales-1&password=x"], 403),
        ("/login", &["-d", "token=%ff%00&account=%zz&password="], 403),
        ("/login", &["-d", &big], 400),
        ("/login", &[json[0], json[1], "-d", "{}"], 400),
        ("/logout", &["-d", "token=forged"], 403),
        ("/", &["-H", &long], 431),
        ("/?lang=xx&out=%00%ff", &[], 200),
        ("/nowhere", &[], 302),
        ("/../../etc/passwd", &["--path-as-is"], 302),
        ("/", &["-X", "TRACE"], 302),
        ("/login", &["-H", "Origin: http://evil.example", "-d", "token=x"], 403),
    ] {
        let (code, body) = portal(stranger, path, args)?;
        check(code == expected, || format!("portal {path} {args:.60?}: {code}, expected {expected}: {body:.200}"))?;
        check(!body.contains("root:"), || format!("portal {path} shows {body}"))?;
    }
    Ok(())
}

fn api_refuses(office: &Office<'_>) -> Told {
    let policy = office.lab().dir().join("too-large.json");
    std::fs::write(&policy, format!("{{\"text\":\"{}\",\"file_name\":\"x\"}}", "#".repeat(17 << 20))).map_err(io)?;
    let policy = format!("@{}", policy.display());
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let big = format!("{{\"name\":\"{}\"}}", "x".repeat(100_000));
    let json = "Content-Type: application/json";
    for (path, args, expected, word) in [
        ("/api/v1/accounts", &["-H", json, "-d", "{"][..], 400, "line 1 column 1"),
        ("/api/v1/accounts", &["-H", json, "-d", ""], 400, "the body is empty"),
        ("/api/v1/accounts", &["-H", json, "-d", "{\"name\":5}"], 400, "expected a string"),
        ("/api/v1/accounts", &["-H", json, "-d", "{\"name\":\"a b\",\"password\":\"x\"}"], 400, "a b"),
        ("/api/v1/accounts", &["-H", json, "-d", &deep], 400, "the body"),
        ("/api/v1/accounts", &["-H", json, "-d", &big], 413, "too_large"),
        ("/api/v1/accounts", &["-d", "name=x"], 400, "not marked as JSON"),
        ("/api/v1/policy", &["-H", json, "--data-binary", &policy], 413, "too_large"),
        (
            "/api/v1/policy",
            &["-H", json, "-d", "{\"text\":\"groups: [\",\"file_name\":\"x\"}"],
            422,
            "\"applied\":false",
        ),
        ("/api/v1/endpoints", &["-X", "DELETE"], 405, "method"),
        ("/api/v1/nothing", &[], 404, ""),
        ("/api/v1/why/0xzz", &[], 400, "is not a cookie"),
        ("/api/v1/log?limit=x", &[], 400, "query"),
        ("/api/v1/devices/%ff%fe", &["-X", "DELETE"], 400, ""),
        ("/api/v1/devices/nobody", &["-X", "DELETE"], 404, "nobody"),
        ("/api/v1/health", &["-H", "Authorization: Basic eDp5"], 401, "bearer"),
        ("/api/v1/health", &["-H", "Authorization: Bearer 00"], 401, "unknown"),
    ] {
        let (code, body) = api(office, path, args)?;
        check(code == expected && body.contains(word), || {
            format!("API {path} {args:.60?}: {code} {body:.300}; expected {expected} with `{word}`")
        })?;
    }
    Ok(())
}

/// Connections that say a little and then nothing: they bind their sender's places only, and not for ever.
#[test]
fn slow_clients_bind_only_their_own_places() {
    Case::new("http::slow_clients_bind_only_their_own_places").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let stranger = office.endpoint("stranger")?;
        unnoticed(office, || {
            let script = "for i in $(seq 60); do { printf 'GET / HTTP/1.1\\r\\nHost:'; sleep 600; } | nc 10.0.0.1 80 & done; \
                          sleep 1; echo begun; wait";
            let slow = stranger.spawn(&["sh", "-c", script])?;
            slow.wait_for_stdout("begun", Duration::from_secs(20))?;
            // Its own places are taken, everybody else's are not.
            let out = stranger.curl(&["-m", "3", "http://10.0.0.1/"])?;
            check(!out.ok(), || "60 connections of one address all had room".into())?;
            bring(office, &["sales-2", "dev-2"])?;
            // The node ends them; then the stranger is served again, while its clients still hold on.
            crate::support::eventually("the end of slow connections", || {
                let (code, _) = portal(stranger, "/", &[])?;
                check(code == 200, || format!("the portal answers with {code}"))
            })?;
            drop(slow);
            Ok(())
        })
    });
}

/// A hundred guesses in a row for these accounts (`$i` is the number of the guess); the statuses.
fn guesses(office: &Office<'_>, account: &str) -> Told<Vec<u16>> {
    let stranger = office.endpoint("stranger")?;
    let token = form_token(stranger)?;
    let script = "for i in $(seq 100); do curl -s -o /dev/null -w '%{http_code}\\n' --data-urlencode \"token=$1\" \
                  --data \"account=$(eval echo $2)\" --data password=guess-$i http://10.0.0.1/login; done";
    let out = stranger.exec_within(&["sh", "-c", script, "sh", &token, account], Duration::from_secs(120))?.check()?;
    let codes: Vec<u16> = out.stdout.lines().filter_map(|line| line.parse().ok()).collect();
    check(codes.len() == 100, || format!("{} answers to 100 guesses: {}", codes.len(), out.stdout))?;
    Ok(codes)
}

fn refusals(office: &Office<'_>) -> Told<Vec<String>> {
    let list = office.node.json(&["logs", "-n", "1000"])?;
    let refused = list.as_array().into_iter().flatten().filter(|e| e["kind"] == "refused");
    Ok(refused
        .filter_map(|e| e["message"].as_str())
        .filter(|m| m.contains("login as"))
        .map(ToOwned::to_owned)
        .collect())
}

#[test]
fn a_guesser_is_locked_out_alone() {
    Case::new("http::a_guesser_is_locked_out_alone").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let stranger = office.endpoint("stranger")?.namespace();
        unnoticed(office, || {
            let codes = guesses(office, "sales-1")?;
            // The fifth closes the account.
            check(codes[..4] == [403; 4] && codes[4..].iter().all(|c| *c == 429), || {
                format!("the guesses got {codes:?}")
            })?;
            // Not even the right password works now, and who is in stays in.
            let late = portal_login(stranger, ROUTER, "sales-1", PASSWORD)?;
            check(late == Login::Refused(429), || format!("the right password, too late: {late:?}"))?;
            pings(office, "sales-1", "crm-1", true)?;
            // Somebody else in another place is not concerned, nor is another account in this place.
            bring(office, &["sales-2"])?;

            // Many accounts, some of which exist: the place is locked, whatever the account.
            let codes = guesses(office, "user-$((i % 30))")?;
            // Five of the twenty that a place may have were used up above; the twentieth closes it.
            let (wrong, locked): (Vec<u16>, Vec<u16>) = codes.iter().partition(|c| **c == 403);
            check(wrong.len() == 14 && locked.iter().all(|c| *c == 429), || format!("the guesses got {codes:?}"))?;
            let late = portal_login(stranger, ROUTER, "dev-2", PASSWORD)?;
            check(late == Login::Refused(429), || format!("the right password from a locked place: {late:?}"))?;
            bring(office, &["dev-2"])
        })?;
        let said = refusals(office)?;
        let about = |word: &str| said.iter().filter(|m| m.contains(word)).count();
        check(about("sales-1") > 0 && about("(no such account)") > 0, || format!("the log says {said:#?}"))?;
        check(said.len() <= 40, || format!("200 guesses made {} lines: {said:#?}", said.len()))?;
        check(!office.node.log().contains("guess-1"), || "the process log holds a password".into())?;
        let audit = fseg(office, &["audit", "-n", "200"], 0)?.stdout;
        check(audit.contains("login.refused") && !audit.contains("guess-1"), || format!("the audit log: {audit}"))
    });
}

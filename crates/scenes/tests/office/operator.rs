//! The operator's side: every command against the running node, for people and for programs, and who may what.

use std::time::Duration;

use fseg_lab::Output;
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};
use serde_json::Value;

use crate::support::{Case, Told, api, bring, check, eventually, field, fseg, plug, wrong};

/// `fseg` with `--output json`, which must end with this code and print one JSON value.
fn json(office: &Office<'_>, args: &[&str], code: i32) -> Told<Value> {
    let all: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
    let out = fseg(office, &all, code)?;
    serde_json::from_str(&out.stdout)
        .map_err(|e| SceneError::wrong(format!("fseg {}: {e}: {}", args.join(" "), out.stdout)))
}

/// Prints these words for people, and this JSON (a test of it) for programs.
fn both(office: &Office<'_>, args: &[&str], words: &[&str], right: impl Fn(&Value) -> bool) -> Told {
    let table = fseg(office, args, 0)?.stdout;
    for word in words {
        check(table.contains(word), || format!("fseg {} does not say `{word}`:\n{table}", args.join(" ")))?;
    }
    let value = json(office, args, 0)?;
    check(right(&value), || format!("fseg {} --output json: {value:#}", args.join(" ")))
}

fn find<'v>(list: &'v Value, key: &str, value: &str) -> Option<&'v Value> {
    list.as_array()?.iter().find(|item| item[key] == value)
}

fn has(list: &Value, key: &str, value: &str) -> bool {
    find(list, key, value).is_some()
}

/// A file of the lab; its path.
fn file(office: &Office<'_>, name: &str, text: &str) -> Told<String> {
    let path = office.lab().dir().join(name);
    std::fs::write(&path, text).map_err(|error| SceneError::File { path: path.clone(), error })?;
    Ok(path.display().to_string())
}

#[test]
fn every_listing_for_people_and_programs() {
    Case::new("operator::every_listing_for_people_and_programs").run(|office| {
        bring(office, &["sales-1", "dev-1", "crm-1", "git-1", "printer-1"])?;
        plug(office, "stranger")?;
        crate::support::pings(office, "sales-1", "crm-1", true)?;
        both(office, &["endpoints"], &["NAME", "sales-1", "tokyo/sw1/p1", "device:crm-1", "stranger"], |v| {
            find(v, "name", "sales-1")
                .is_some_and(|e| e["groups"] == serde_json::json!(["sales", "staff"]) && e["state"] == "admitted")
        })?;
        both(office, &["sessions"], &["ENDPOINT", "portal", "device", "location"], |v| {
            has(v, "subject", "user:dev-1")
                && has(v, "method", "location")
                && v.as_array().is_some_and(|l| l.len() == 5)
        })?;
        both(office, &["groups"], &["GROUP", "crm-1", "staff-ping"], |v| {
            find(v, "name", "dev").is_some_and(|g| g["endpoints"] == serde_json::json!(["dev-1"]))
        })?;
        both(office, &["permits"], &["sales-crm", "sales-it", "daily work"], |v| {
            v.as_array().is_some_and(|l| l.len() == 9)
        })?;
        eventually("the permit's use", || {
            let list = json(office, &["permits"], 0)?;
            let used = find(&list, "id", "staff-ping")
                .is_some_and(|p| p["packets"].as_u64() > Some(0) && !p["last_used"].is_null());
            check(used, || format!("staff-ping was used, but: {list:#}"))
        })?;
        both(office, &["switches"], &["sw1", "node", "access"], |v| {
            v.as_array().is_some_and(|l| l.len() == 3)
                && find(v, "name", "sw2").is_some_and(|s| s["connected"] == true && s["foreign_rows"] == 0)
        })?;
        both(office, &["user", "list"], &["dev-2", "dev", "enabled"], |v| has(v, "name", "sales-2"))?;
        both(office, &["device", "list"], &["git-1", "02:00:00:00:02:03"], |v| has(v, "mac", "02:00:00:00:02:01"))?;
        both(office, &["logs", "-n", "200"], &["admitted", "sales-1 was admitted by portal"], |v| {
            has(v, "kind", "address")
        })?;
        both(office, &["audit"], &["WHO", "root", "policy.apply", "account.put"], |v| has(v, "what", "device.put"))?;
        both(office, &["health"], &["is well", "switch sw1", "store"], |v| {
            v["ok"] == true && has(&v["parts"], "name", "policy")
        })?;
        both(office, &["policy"], &["id: sales-crm", "# version 1"], |v| v["version"] == 1 && v["text"] == POLICY)?;
        both(office, &["token", "list"], &["no tokens"], |v| *v == serde_json::json!([]))?;
        both(office, &["explain", "sales-1", "crm-1", "web"], &["PERMIT", "permit sales-crm", "COOKIE"], |v| {
            v["decision"] == "permit"
                && v["permit"]["id"] == "sales-crm"
                && v["rows"].as_array().is_some_and(|r| !r.is_empty())
        })?;
        let rows = json(office, &["explain", "sales-1", "crm-1", "web"], 0)?;
        for row in rows["rows"].as_array().into_iter().flatten() {
            let cookie = row["cookie"].as_str().unwrap_or_default();
            both(office, &["why", cookie], &[cookie], |v| {
                v["cookie"] == cookie && !v["sentence"].as_str().unwrap_or("").is_empty()
            })?;
        }
        both(office, &["decode", "04000008", "00000001"], &["OFPT_HELLO (OF1.3) (xid=0x1)"], |v| {
            v[0].as_str().is_some_and(|l| l.contains("HELLO"))
        })?;
        watching(office)
    });
}

/// `--watch` goes on, in both forms; `logs --follow` tells what happens from now on.
fn watching(office: &Office<'_>) -> Told {
    let fseg = fseg_scenes::program("fseg")?.display().to_string();
    let (url, root) = (office.node.url(), office.node.namespace());
    let start = |args: &[&str]| root.spawn(&[&[fseg.as_str(), "--node", &url][..], args].concat());
    let table = start(&["endpoints", "--watch", "1"])?;
    let lines = start(&["switches", "--watch", "1", "--output", "json"])?;
    let follow = start(&["logs", "--follow", "--output", "json"])?;
    follow.wait_for_stdout("admitted", Duration::from_secs(20))?;
    eventually("a second round", || {
        let (rounds, values) = (table.stdout().matches("SUBJECT").count(), lines.stdout().lines().count());
        check(rounds >= 2 && values >= 2, || format!("{rounds} tables and {values} values: {}", lines.stdout()))
    })?;
    for line in lines.stdout().lines().take(2) {
        let value: Value = serde_json::from_str(line).map_err(|e| SceneError::wrong(format!("{e}: {line}")))?;
        check(value.as_array().is_some_and(|l| l.len() == 3), || line.to_owned())?;
    }
    plug(office, "crm-2")?;
    follow.wait_for_stdout("crm-2 was admitted", Duration::from_secs(20))?;
    Ok(())
}

#[test]
fn every_change_and_every_exit_code() {
    Case::new("operator::every_change_and_every_exit_code").run(|office| {
        bring(office, &["sales-1", "crm-1"])?;
        // Policies: without a node, then with it.
        let good = file(office, "good.yaml", POLICY)?;
        let failing = file(
            office,
            "failing.yaml",
            &POLICY.replacen("service: web, expect: permit", "service: web, expect: deny", 1),
        )?;
        let broken = file(office, "broken.yaml", &POLICY.replacen("from: sales, to: crm", "from: sails, to: crm", 1))?;
        fseg(office, &["check", &good], 0)?;
        let text = fseg(office, &["check", &failing], 1)?.stdout;
        check(text.contains("test failed: user:sales-1 -> device:crm-1 web"), || text.clone())?;
        let text = fseg(office, &["check", &broken], 2)?.stdout;
        check(text.contains("broken.yaml:") && text.contains("sails") && text.contains("sales"), || text.clone())?;
        check(json(office, &["check", &failing], 1)?["ok"] == false, || "a failing check says it is ok".into())?;
        fseg(office, &["check", "/nonexistent.yaml"], 2)?;
        fseg(office, &["apply", &failing], 1)?;
        fseg(office, &["apply", &broken], 2)?;
        check(json(office, &["policy"], 0)?["version"] == 1, || "a refused policy is in force".into())?;
        let less = file(
            office,
            "less.yaml",
            &POLICY.lines().filter(|l| !l.contains("id: logs")).map(|l| format!("{l}\n")).collect::<String>(),
        )?;
        let dry = json(office, &["apply", "--dry-run", &less], 0)?;
        check(dry["applied"] == false && dry["removed"] == serde_json::json!(["logs"]), || format!("{dry:#}"))?;
        let text = fseg(office, &["apply", &less], 0)?.stdout;
        check(text.contains("permits removed: logs") && text.contains("in force as version 2"), || text.clone())?;

        // Questions: no is 1, and what does not exist is not a question.
        fseg(office, &["explain", "sales-1", "crm-1", "ssh"], 1)?;
        fseg(office, &["explain", "crm-1", "sales-1", "tcp/80"], 1)?;
        for args in [
            ["nobody-here", "crm-1", "web"],
            ["sales-1", "crm-1", "no-such-service"],
            ["sales-1", "crm-1", "tcp/99999"],
        ] {
            let out = office.node.fseg(&[&["explain"][..], &args].concat())?;
            check(matches!(out.status.code(), Some(1 | 2)) && !out.stderr.is_empty(), || {
                format!("explain {args:?}: {}{}", out.stdout, out.stderr)
            })?;
        }
        fseg(office, &["why", "0x1234"], 1)?;
        fseg(office, &["why", "cookie"], 2)?;

        // Accounts and devices.
        office.node.add_user("anna", "first-password-1", &["dev"])?;
        let again = office.node.add_user("anna", "second-password-2", &[]);
        check(again.is_err_and(|e| e.to_string().contains("already")), || "a second anna was made".into())?;
        passwd(office, "anna", "other-password-3")?;
        for verb in ["disable", "enable", "delete"] {
            let text = fseg(office, &["user", verb, "anna"], 0)?.stdout;
            check(text.contains("anna"), || text.clone())?;
        }
        fseg(office, &["user", "delete", "anna"], 1)?;
        fseg(
            office,
            &["device", "add", "cam-1", "02:00:00:00:09:01", "--role", "cameras", "--address", "10.0.2.77"],
            0,
        )?;
        let list = json(office, &["device", "list"], 0)?;
        check(find(&list, "name", "cam-1").is_some_and(|d| d["address"] == "10.0.2.77"), || format!("{list:#}"))?;
        fseg(office, &["device", "add", "cam-2", "not-a-mac"], 2)?;
        // An address that DHCP cannot give, or not to two, is refused, and does not stand in the way of the next start.
        for (address, word) in [
            ("192.168.7.7", "not a host address of the flat network"),
            ("10.0.0.1", "the router's"),
            ("10.0.2.77", "already belongs to device `cam-1`"),
        ] {
            let out = fseg(office, &["device", "add", "cam-3", "02:00:00:00:09:03", "--address", address], 1)?;
            check(out.stderr.contains(word), || format!("{address}: {}", out.stderr))?;
        }
        office.node.stop()?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        fseg(office, &["device", "remove", "cam-1"], 0)?;
        fseg(office, &["device", "remove", "cam-1"], 1)?;

        // Nothing but a command line: no node is asked.
        for (args, word) in [
            (&["version"][..], "fseg 0."),
            (&["completion", "bash"], "_fseg"),
            (&["man"], ".TH fseg"),
            (&["--help"], "Exit codes"),
        ] {
            let text = fseg(office, args, 0)?.stdout;
            check(text.contains(word), || format!("fseg {args:?} does not print `{word}`"))?;
        }
        for args in [
            &["dance"][..],
            &[],
            &["explain", "a"],
            &["endpoints", "--watch", "0"],
            &["decode", "xyz"],
            &["decode", "0400"],
        ] {
            fseg(office, args, 2)?;
        }
        let nowhere =
            office.node.namespace().exec(&[&program()?, "--node", "unix:/nonexistent/api.sock", "endpoints"])?;
        check(nowhere.status.code() == Some(3), || format!("no node: {:?}", nowhere.status))?;

        // Who did what.
        let audit = json(office, &["audit", "-n", "200"], 0)?;
        for what in ["policy.apply", "account.put", "account.delete", "device.put", "device.delete", "admitted"] {
            check(has(&audit, "what", what), || format!("the audit log has no {what}: {audit:#}"))?;
        }
        check(
            find(&audit, "what", "account.delete").is_some_and(|e| e["who"] == "root" && e["detail"]["name"] == "anna"),
            || format!("{audit:#}"),
        )?;
        check(!audit.to_string().contains("password-"), || "the audit log holds a password".into())
    });
}

fn program() -> Told<String> {
    Ok(fseg_scenes::program("fseg")?.display().to_string())
}

fn passwd(office: &Office<'_>, name: &str, password: &str) -> Told {
    let mut changing = office.node.namespace().spawn(&[
        &program()?,
        "--node",
        &office.node.url(),
        "user",
        "passwd",
        name,
        "--password-stdin",
    ])?;
    changing.write(&format!("{password}\n"))?;
    changing.close_stdin();
    changing.wait(Duration::from_secs(20))?.check()?;
    Ok(())
}

/// `fseg` over TLS with a token from a file; what it said.
fn remote(office: &Office<'_>, token: Option<&str>, fingerprint: &str, args: &[&str]) -> Told<Output> {
    let program = program()?;
    let mut all = vec![program.as_str(), "--node", "https://127.0.0.1:8443", "--fingerprint", fingerprint];
    let path = file(office, "token", token.unwrap_or_default())?;
    if token.is_some() {
        all.extend(["--token-file", &path]);
    }
    all.extend(args);
    Ok(office.node.namespace().exec(&all)?)
}

fn ends_with(out: Output, code: i32, word: &str) -> Told {
    let fits = out.status.code() == Some(code) && (out.stdout.contains(word) || out.stderr.contains(word));
    check(fits, || {
        format!(
            "`{}`: {:?}, expected {code} with `{word}`\n{}{}",
            out.command,
            out.status.code(),
            out.stdout,
            out.stderr
        )
    })
}

#[test]
fn tokens_roles_and_tls() {
    Case::new("operator::tokens_roles_and_tls").run(|office| {
        let log = office.node.log();
        let print = log.split("fingerprint=").nth(1).and_then(|rest| rest.split(|c: char| c.is_whitespace()).next());
        let Some(print) = print.map(|p| p.trim_matches('"')) else { return wrong("the log shows no fingerprint") };
        let create = |name: &str, role: &str| -> Told<String> {
            Ok(fseg(office, &["token", "create", name, "--role", role], 0)?.stdout.trim().to_owned())
        };
        let (viewer, operator, admin) =
            (create("wall-screen", "viewer")?, create("desk", "operator")?, create("boss", "admin")?);
        let other = file(office, "other.yaml", "groups: {}\n")?;
        let (v, o, a) = (Some(viewer.as_str()), Some(operator.as_str()), Some(admin.as_str()));
        for (token, args, code, word) in [
            (v, &["endpoints"][..], 0, ""),
            (v, &["explain", "sales-1", "crm-1", "web"], 0, "not connected"),
            (v, &["explain", "sales-1", "crm-1", "ssh"], 1, "DENY"),
            (v, &["user", "list"], 1, "operator"),
            (v, &["device", "add", "x", "02:00:00:00:09:09"], 1, "operator"),
            (v, &["apply", &other], 1, "admin"),
            (v, &["token", "list"], 1, "admin"),
            (o, &["device", "add", "desk-cam", "02:00:00:00:09:09"], 0, "desk-cam"),
            (o, &["audit"], 0, "device.put"),
            (o, &["apply", "--dry-run", &other], 0, "would be accepted"),
            (o, &["apply", &other], 1, "admin"),
            (o, &["token", "create", "more", "--role", "admin"], 1, "admin"),
            (a, &["apply", &other], 0, "in force as version 2"),
            (a, &["token", "list"], 0, "wall-screen"),
            (None, &["endpoints"], 1, "token"),
            (Some("0000"), &["endpoints"], 1, "unknown"),
        ] {
            ends_with(remote(office, token, print, args)?, code, word)?;
        }
        // Not the node that was meant.
        ends_with(remote(office, a, &"00".repeat(32), &["endpoints"])?, 3, "")?;
        // Who did it stands in the audit log by the token's name.
        let audit = json(office, &["audit"], 0)?;
        for (who, what) in [("desk", "device.put"), ("boss", "policy.apply"), ("root", "token.create")] {
            let there = audit.as_array().into_iter().flatten().any(|e| e["who"] == who && e["what"] == what);
            check(there, || format!("the audit log does not say that {who} did {what}: {audit:#}"))?;
        }
        // Revoked and expired tokens work no more; those that stay survive a restart.
        fseg(office, &["token", "revoke", "wall-screen"], 0)?;
        ends_with(remote(office, v, print, &["endpoints"])?, 1, "revoked")?;
        let brief = fseg(office, &["token", "create", "brief", "--valid", "1s"], 0)?.stdout;
        eventually("the token's end", || {
            ends_with(remote(office, Some(brief.trim()), print, &["endpoints"])?, 1, "expired")
        })?;
        office.node.stop()?;
        office.node.start()?;
        eventually("the API over TLS", || ends_with(remote(office, o, print, &["endpoints"])?, 0, ""))?;
        ends_with(remote(office, v, print, &["endpoints"])?, 1, "unknown")?;
        // Neither log nor store holds a token.
        for token in [&viewer, &operator, &admin] {
            let found = office.node.namespace().exec(&[
                "grep",
                "-rqaF",
                token,
                &office.lab().dir().join("state").display().to_string(),
            ])?;
            check(!found.ok() && !office.node.log().contains(token.as_str()), || "a token is kept in clear".into())?;
        }
        Ok(())
    });
}

#[test]
fn machines_see_how_it_is() {
    Case::new("operator::machines_see_how_it_is").run(|office| {
        bring(office, &["sales-1", "crm-1"])?;
        plug(office, "stranger")?;
        let (code, metrics) = api(office, "/metrics", &[])?;
        for line in [
            "fseg_endpoints{state=\"admitted\"} 2",
            "fseg_endpoints{state=\"stranger\"} 1",
            "fseg_switch_connected{switch=\"sw1\"} 1",
            "fseg_store_ok 1",
            "fseg_permit_packets{permit=\"sales-crm\"}",
            "# EOF",
        ] {
            check(code == 200 && metrics.contains(line), || format!("the metrics have no `{line}`: {metrics}"))?;
        }
        check(
            api(office, "/healthz", &[])? == (200, "ok".into()) || api(office, "/healthz", &[])?.1.trim() == "ok",
            || "healthz".into(),
        )?;
        check(api(office, "/readyz", &[])?.0 == 200, || "readyz".into())?;
        let (_, document) = api(office, "/api/v1/openapi.json", &[])?;
        let document: Value = serde_json::from_str(&document).map_err(|e| SceneError::wrong(e.to_string()))?;
        check(document["paths"]["/api/v1/endpoints"]["get"].is_object(), || {
            "the API document has no endpoints".into()
        })?;

        // A switch is lost: the node says so in every way, and takes it back.
        office.switches[2].kill9();
        eventually("the loss", || {
            let text = fseg(office, &["health"], 1)?.stdout;
            check(text.contains("is NOT well") && text.contains("not connected; it keeps its tables"), || text.clone())
        })?;
        check(api(office, "/readyz", &[])?.0 == 503, || "ready without a switch".into())?;
        let (_, metrics) = api(office, "/metrics", &[])?;
        check(metrics.contains("fseg_switch_connected{switch=\"sw2\"} 0"), || metrics.clone())?;
        let state = field(office, "sales-1", "state")?;
        check(state == "admitted", || format!("sales-1 on the other switch is {state}"))?;
        office.switches[2].start()?;
        eventually("its return", || fseg(office, &["health"], 0).map(drop))
    });
}

//! What every test needs: an office, a fault under watch, and waiting.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fseg_lab::sandbox::testing::in_sandbox;
use fseg_lab::{Lab, LabError, Namespace, Proc, Signal};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Expected, Office, POLICY};
use serde_json::Value;

/// A step's result.
pub(crate) type Told<T = ()> = Result<T, SceneError>;

/// How long something may take that has no reason to take long. Reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A failure, in a sentence.
pub(crate) fn wrong<T>(text: impl Into<String>) -> Told<T> {
    Err(SceneError::wrong(text))
}

/// Fails with this sentence unless it holds.
pub(crate) fn check(holds: bool, text: impl FnOnce() -> String) -> Told {
    if holds { Ok(()) } else { wrong(text()) }
}

/// Tries again and again until it succeeds; the last failure if it never does.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Told<T>) -> Told<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(e) if begun.elapsed() > PATIENCE => return wrong(format!("{what}: {e}")),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// One test's office.
pub(crate) struct Case {
    name: &'static str,
    config: fn(String) -> String,
    before: fn(&Lab) -> Told,
    errors: &'static [&'static str],
}

impl Case {
    /// `name` is the test's own, as the harness prints it.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, config: |config| config, before: |_| Ok(()), errors: &[] }
    }

    /// With a changed configuration.
    pub(crate) fn config(self, config: fn(String) -> String) -> Self {
        Self { config, ..self }
    }

    /// With something done before the node starts.
    pub(crate) fn before(self, before: fn(&Lab) -> Told) -> Self {
        Self { before, ..self }
    }

    /// Errors that the node is expected to log: lines that hold one of these.
    pub(crate) fn errors(self, errors: &'static [&'static str]) -> Self {
        Self { errors, ..self }
    }

    /// Builds the office, applies the policy, registers everybody (nobody is plugged in yet), and runs the test. The
    /// node's log must show no panic and no error but those expected.
    pub(crate) fn run(self, test: impl FnOnce(&Office<'_>) -> Told) {
        in_sandbox(self.name, |lab| self.inside(lab, test).map_err(|e| LabError::Usage(e.to_string())));
    }

    fn inside(&self, lab: &Lab, test: impl FnOnce(&Office<'_>) -> Told) -> Told {
        (self.before)(lab)?;
        let mut office = Office::build_with(lab, self.config)?;
        office.start()?;
        office.apply(POLICY)?;
        office.register()?;
        test(&office).map_err(|e| {
            let log = office.node.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            SceneError::wrong(format!("{e}\nthe node's log ends:\n{}", tail.join("\n")))
        })?;
        self.clean(&office.node.log())
    }

    fn clean(&self, log: &str) -> Told {
        let bad = |line: &&str| {
            line.contains("panicked") || (line.contains(" ERROR ") && !self.errors.iter().any(|e| line.contains(e)))
        };
        match log.lines().find(bad) {
            Some(line) => wrong(format!("the node logged: {line}")),
            None => Ok(()),
        }
    }
}

/// Everybody against everybody must be what the policy says.
pub(crate) fn judge(office: &Office<'_>, policy: &str) -> Told {
    office.judge(&Expected::of(policy)?).map(drop)
}

/// People's traffic that must not lose a packet.
struct Traffic {
    pings: Vec<Proc>,
}

impl Traffic {
    fn start(office: &Office<'_>, pairs: &[(&str, &str)]) -> Told<Self> {
        let mut pings = Vec::new();
        for (from, to) in pairs {
            let address = address(office, to)?;
            let ping = office.endpoint(from)?.spawn(&["ping", "-n", "-i", "0.05", &address])?;
            ping.wait_for_stdout("icmp_seq=3 ", PATIENCE)?;
            pings.push(ping);
        }
        Ok(Self { pings })
    }

    /// It must still go on; then it ends. The last request may be under way at that moment, so only gaps count.
    fn end(self) -> Told {
        for ping in self.pings {
            let before = answers(&ping.stdout()).last().copied().unwrap_or_default();
            eventually("more answers to a ping after the fault", || {
                let now = answers(&ping.stdout()).last().copied().unwrap_or_default();
                check(now >= before + 5, || format!("the last answer was {before} and is {now}"))
            })?;
            ping.signal(Signal::SIGINT);
            let out = ping.wait(Duration::from_secs(10))?;
            let seen = answers(&out.stdout);
            let last = seen.last().copied().unwrap_or_default();
            let lost: Vec<u32> = (1..=last).filter(|n| !seen.contains(n)).collect();
            check(lost.is_empty(), || format!("`{}` lost {lost:?} of {last}", out.command))?;
        }
        Ok(())
    }
}

/// The numbers of the answered requests, from what `ping` wrote.
fn answers(text: &str) -> BTreeSet<u32> {
    text.lines().filter_map(|line| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok()).collect()
}

/// Something bad happens while people work (sales-1 with crm-1, dev-1 with git-1): they notice nothing, and the node is
/// the same process afterwards.
pub(crate) fn unnoticed<T>(office: &Office<'_>, fault: impl FnOnce() -> Told<T>) -> Told<T> {
    let before = office.node.id();
    let value = unbroken(office, fault)?;
    let after = office.node.id();
    check(before.is_some() && before == after, || format!("the node was process {before:?} and is {after:?}"))?;
    Ok(value)
}

/// The same, when the node itself may come and go.
pub(crate) fn unbroken<T>(office: &Office<'_>, fault: impl FnOnce() -> Told<T>) -> Told<T> {
    let traffic = Traffic::start(office, &[("sales-1", "crm-1"), ("dev-1", "git-1")])?;
    let value = fault()?;
    traffic.end()?;
    Ok(value)
}

/// The people and servers that [`unnoticed`] watches, and nobody else, come in.
pub(crate) fn workers(office: &Office<'_>) -> Told {
    bring(office, &["sales-1", "dev-1", "crm-1", "git-1"])
}

/// These come in, people logged in.
pub(crate) fn bring(office: &Office<'_>, names: &[&str]) -> Told {
    for p in fseg_scenes::office::PLANS.iter().filter(|p| names.contains(&p.name)) {
        office.join(p)?;
        if let fseg_scenes::office::Kind::Person(_) = p.kind {
            office.log_in(p.name)?;
        }
    }
    Ok(())
}

/// Plugs in and gets an address, no more.
pub(crate) fn plug(office: &Office<'_>, name: &str) -> Told {
    let plan = fseg_scenes::office::PLANS.iter().find(|p| p.name == name);
    office.join(plan.ok_or_else(|| SceneError::wrong(format!("nobody is called {name}")))?).map(drop)
}

/// An endpoint's address as text.
pub(crate) fn address(office: &Office<'_>, name: &str) -> Told<String> {
    let found = office.endpoint(name)?.address()?;
    found.map(|a| a.to_string()).ok_or_else(|| SceneError::wrong(format!("{name} has no address")))
}

/// One answers the other's ping, or must not.
pub(crate) fn pings(office: &Office<'_>, from: &str, to: &str, expected: bool) -> Told {
    let target = office.endpoint(to)?.address()?.ok_or_else(|| SceneError::wrong(format!("{to} has no address")))?;
    let answered = office.endpoint(from)?.ping(target)?;
    check(answered == expected, || format!("ping from {from} to {to}: answered {answered}, expected {expected}"))
}

/// The endpoints as the node knows them, without what changes by itself.
pub(crate) fn roll(office: &Office<'_>) -> Told<Vec<String>> {
    let list = office.node.json(&["endpoints"])?;
    let line = |e: &Value| format!("{} {} {} {} {}", e["mac"], e["name"], e["addresses"], e["place"], e["state"]);
    Ok(list.as_array().map(|l| l.iter().map(line).collect()).unwrap_or_default())
}

/// A field of an endpoint as the node shows it, by MAC address; `Null` when the endpoint or field is not there.
pub(crate) fn field(office: &Office<'_>, name: &str, field: &str) -> Told<Value> {
    let mac = office.endpoint(name)?.mac().to_owned();
    let list = office.node.json(&["endpoints"])?;
    let found = list.as_array().and_then(|l| l.iter().find(|e| e["mac"] == mac.as_str()));
    Ok(found.map(|e| e[field].clone()).unwrap_or_default())
}

/// `fseg` with these arguments must end with this exit code; what it wrote.
pub(crate) fn fseg(office: &Office<'_>, args: &[&str], code: i32) -> Told<fseg_lab::Output> {
    let out = office.node.fseg(args)?;
    let got = out.status.code();
    check(got == Some(code), || {
        format!("fseg {}: exit code {got:?}, expected {code}\n{}{}", args.join(" "), out.stdout, out.stderr)
    })?;
    Ok(out)
}

/// The status and body that the API's local socket answers to `curl` with these arguments.
pub(crate) fn api(office: &Office<'_>, path: &str, args: &[&str]) -> Told<(u16, String)> {
    let socket = office.node.socket().display().to_string();
    let url = format!("http://node{path}");
    let mut all = vec!["--unix-socket", &socket, "-w", "\n%{http_code}"];
    all.extend(args);
    all.push(&url);
    status(&office.node.namespace().curl(&all)?.stdout)
}

/// The status and body that the portal answers to `curl` with these arguments.
pub(crate) fn portal(from: &Namespace, path: &str, args: &[&str]) -> Told<(u16, String)> {
    let url = format!("http://{}{path}", fseg_scenes::office::ROUTER);
    let mut all = vec!["-w", "\n%{http_code}"];
    all.extend(args);
    all.push(&url);
    status(&from.curl(&all)?.stdout)
}

fn status(text: &str) -> Told<(u16, String)> {
    let (body, code) = text.rsplit_once('\n').unwrap_or(("", text));
    let code = code.trim().parse().map_err(|_| SceneError::wrong(format!("curl wrote `{text}`")))?;
    Ok((code, body.to_owned()))
}

/// The hidden token of the portal's form, as `from` gets it.
pub(crate) fn form_token(from: &Namespace) -> Told<String> {
    let (_, page) = portal(from, "/", &[])?;
    let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    token.map(ToOwned::to_owned).ok_or_else(|| SceneError::wrong(format!("the portal shows no form: {page}")))
}

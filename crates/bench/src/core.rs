//! The controller alone, without sockets: how long it takes and how much it holds.

use std::time::{Duration, Instant};

use fseg_control::{Controller, Effect, Input, Now, Ticket};
use fseg_model::{Mono, Name};
use fseg_openflow::{Body, Message, MultipartReply};

use crate::report::{figure, ms, percentile, us};
use crate::site;

/// Bytes of memory this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn megabytes(bytes: usize) -> f64 {
    (bytes as f64 / 1e4).round() / 100.0
}

pub(crate) fn run(endpoints: usize, groups: usize, permits: usize) {
    let mut now = Now { wall: site::START, mono: Mono(1_000) };
    let records = site::records(endpoints, groups, permits);
    let empty = resident();
    let before = Instant::now();
    let mut controller = Controller::new(site::config(), records, now).unwrap();
    let compiled = before.elapsed();
    controller.flush();
    let size = format!("{endpoints} endpoints, {groups} groups, {permits} permits");
    let rows: usize = controller.switches().map(|(_, s)| s.rows).sum();
    figure(
        "core",
        "compile from nothing, two switches",
        ms(compiled),
        "ms",
        &format!("{size}; {rows} rows; at most 2,000"),
    );
    // Records were in memory before and became the controller's; rows take the rest.
    let more = resident().saturating_sub(empty);
    figure(
        "core",
        "memory of the compiled network beyond its records, rows included",
        more as f64 / endpoints as f64,
        "B/endpoint",
        &size,
    );
    // Empty switches connect: everything is sent.
    for (dpid, connection) in [(site::NODE, 1), (site::SWITCH, 2)] {
        let before = Instant::now();
        controller.handle(Input::Connected { dpid, connection }, now);
        let sent = serve(&mut controller, now);
        let what = if dpid == site::NODE { "the node's bridge" } else { "the access switch" };
        figure(
            "core",
            &format!("everything handed out to {what}, which is empty"),
            ms(before.elapsed()),
            "ms",
            &format!("{sent} messages"),
        );
    }
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        now = Now { wall: now.wall.plus(Duration::from_millis(200)), mono: now.mono.plus(Duration::from_millis(200)) };
        let before = Instant::now();
        controller.handle(Input::Tick, now);
        serve(&mut controller, now);
        worst = worst.max(before.elapsed());
    }
    figure("core", "longest of 20 ticks", ms(worst), "ms", &size);
    change(&mut controller, now, endpoints, groups, &size);
}

/// A million endpoints, and what a join costs then.
pub(crate) fn million(endpoints: usize) {
    let now = Now { wall: site::START, mono: Mono(1_000) };
    let before = Instant::now();
    let mut controller = Controller::new(site::config(), site::records(endpoints, 1_000, 1_000), now).unwrap();
    controller.flush();
    let took = before.elapsed();
    let size = format!("{endpoints} endpoints, no switch connected; made in {:.1} s", took.as_secs_f64());
    figure("core", "memory of the whole process", megabytes(resident()), "MB", &format!("{size}; at most 2,147"));
    let highest = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let highest =
        highest.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    figure(
        "core",
        "the same, at its highest, with the records it was made from",
        highest.unwrap_or(0.0) / 1e3,
        "MB",
        "",
    );
    change(&mut controller, now, endpoints, 1_000, &size);
}

/// Answers what the controller asks the switches, until it asks nothing more; how many messages it sent.
fn serve(controller: &mut Controller, now: Now) -> usize {
    let mut sent = 0;
    loop {
        let effects = controller.flush();
        let mut answers = Vec::new();
        for effect in effects {
            let Effect::Send { dpid, connection, messages } = effect else { continue };
            sent += messages.len();
            for m in messages {
                let body = match m.body {
                    Body::BarrierRequest => Body::BarrierReply,
                    Body::MultipartRequest(q) => match q.query {
                        fseg_openflow::multipart::Query::PortDesc => {
                            reply(fseg_openflow::multipart::Answer::PortDesc(ports(dpid)))
                        }
                        fseg_openflow::multipart::Query::MeterConfig(_) => {
                            reply(fseg_openflow::multipart::Answer::MeterConfig(vec![]))
                        }
                        fseg_openflow::multipart::Query::Flow(_) => {
                            reply(fseg_openflow::multipart::Answer::Flow(vec![]))
                        }
                        _ => continue,
                    },
                    _ => continue,
                };
                answers.push(Input::Message { dpid, connection, message: Box::new(Message { xid: m.xid, body }) });
            }
        }
        if answers.is_empty() {
            return sent;
        }
        for a in answers {
            controller.handle(a, now);
        }
    }
}

fn reply(answer: fseg_openflow::multipart::Answer) -> Body {
    Body::MultipartReply(MultipartReply { more: false, answer })
}

/// One endpoint leaves, joins, changes its groups: a thousand times each, one at a time.
fn change(controller: &mut Controller, now: Now, endpoints: usize, groups: usize, size: &str) {
    const TIMES: usize = 1_000;
    let step = (endpoints / TIMES).max(1) | 1;
    let users: Vec<usize> = (0..endpoints).step_by(step).filter(|n| n.is_multiple_of(2)).take(TIMES).collect();
    let mut ticket = 0;
    let mut next = || {
        ticket += 1;
        Ticket(ticket)
    };
    let timed = |what: &str, list: &[usize], controller: &mut Controller, f: &mut dyn FnMut(usize, &mut Controller)| {
        let mut took: Vec<Duration> = Vec::new();
        let mut rows = 0;
        for &n in list {
            let before = Instant::now();
            f(n, controller);
            let effects = controller.flush();
            took.push(before.elapsed());
            for e in &effects {
                if let Effect::Send { messages, .. } = e {
                    rows += messages.iter().filter(|m| matches!(m.body, Body::BundleAdd(_))).count();
                }
            }
            for e in effects {
                if let Effect::Send { dpid, connection, messages } = e {
                    for m in messages {
                        if matches!(m.body, Body::BarrierRequest) {
                            let message = Box::new(Message { xid: m.xid, body: Body::BarrierReply });
                            controller.handle(Input::Message { dpid, connection, message }, now);
                        }
                    }
                }
            }
            controller.flush();
        }
        let note = format!(
            "{size}; p99 {} µs; rows touched each time {:.1}",
            us(percentile(&mut took, 99)),
            rows as f64 / list.len() as f64
        );
        figure("core", &format!("one endpoint {what}, median"), us(percentile(&mut took, 50)), "µs", &note);
    };
    timed("leaves (session ended)", &users, controller, &mut |n, c| {
        let endpoint = fseg_model::EndpointId(n as u32 + 1);
        c.handle(Input::EndSession { ticket: next(), who: "bench".into(), endpoint }, now);
    });
    timed("joins (login)", &users, controller, &mut |n, c| {
        let address = site::address(n);
        let Some(fseg_admission::LoginStart::Check { attempt, .. }) = c.login_start(address, &format!("u{n}"), now)
        else {
            panic!("{address} may not log in");
        };
        c.handle(Input::LoginFinished { ticket: next(), address, attempt, verified: true }, now);
    });
    let hash = site::password();
    timed("changes groups", &users, controller, &mut |n, c| {
        let account = fseg_admission::Account {
            roles: site::roles(n + 1, groups),
            ..fseg_admission::Account::new(Name::new(&format!("u{n}")).unwrap(), hash.clone(), site::START)
        };
        c.handle(Input::PutAccount { ticket: next(), who: "bench".into(), account: Box::new(account) }, now);
    });
}

fn ports(dpid: fseg_model::Dpid) -> Vec<fseg_openflow::Port> {
    let config = site::config();
    let switch = config.switches.iter().find(|s| s.dpid == dpid).unwrap();
    let port = |p: &fseg_control::PortConfig| fseg_openflow::Port {
        port_no: p.number.0,
        hw_addr: [2, 0, 0, 0, 0, 1],
        name: p.name.to_string(),
        config: 0,
        state: 0,
        curr: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        curr_speed: 0,
        max_speed: 0,
    };
    switch.ports.iter().map(port).collect()
}

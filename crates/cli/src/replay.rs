//! `fseg replay`: a node's recording, lived through again.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fseg_api::Timestamp;
use fseg_control::recording::{Difference, Done, EffectDigest, Replay};
use fseg_control::{Controller, Effect, Event, LinkPhase, Standing};
use fseg_model::Wall;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::output::{Rows, Screen, Tone, printable};

/// A recording, and how far and what of it.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The recording that `fsegd --record` wrote
    file: PathBuf,
    /// Stop after this step
    #[arg(long, value_name = "STEP", conflicts_with = "until")]
    at: Option<u64>,
    /// Stop before the first step after this time, as in 2026-11-20T14:05:00Z, or so many seconds after the beginning
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Until>,
    /// What to show of the state there, or of what led to it
    #[arg(long, value_enum)]
    show: Option<Show>,
    /// List every step
    #[arg(long, conflicts_with = "show")]
    step: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// Who is where
    Endpoints,
    /// The switches as the node saw them
    Switches,
    /// The rows that each switch should hold
    Rows,
    /// What happened up to there
    Events,
    /// What was committed, sent and answered up to there
    Decisions,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    Wall(Wall),
    Seconds(u64),
}

fn until(text: &str) -> Result<Until, String> {
    if let Ok(seconds) = text.trim_start_matches('+').trim_end_matches('s').parse() {
        return Ok(Until::Seconds(seconds));
    }
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("`{text}` is neither a time as in 2026-11-20T14:05:00Z nor a number of seconds"))?;
    Ok(Until::Wall(time.0))
}

/// What is kept on the way.
#[derive(Default)]
struct Seen {
    flushes: u64,
    effects: u64,
    first: Option<(u64, Difference)>,
    steps: Vec<Value>,
    events: Vec<Event>,
    decisions: Vec<Value>,
}

/// The longest line of a listing.
const LONGEST: usize = 300;

/// The largest recording that is read: 4 GiB, sixteen times what the node writes unless it is told otherwise.
const LARGEST: u64 = 4 << 30;

/// The whole file, which must be one: a device has no end.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |e: std::io::Error| Failure::file(path, e);
    let file = std::fs::File::open(path).map_err(wrong)?;
    let about = file.metadata().map_err(wrong)?;
    if !about.is_file() || about.len() > LARGEST {
        let what = if about.is_file() { "it is larger than 4 GiB" } else { "it is not a file" };
        return Err(Failure::file(path, what).help("a recording is a file that `fsegd --record FILE` wrote"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}

pub(crate) fn run(args: &ReplayArgs, screen: &Screen) -> Result<Outcome, Failure> {
    let bytes = read(&args.file)?;
    let wrong = |e| Failure::file(&args.file, e);
    let mut replay = Replay::new(&bytes).map_err(wrong)?;
    let begun = replay.now();
    let mut seen = Seen::default();
    let mut last = 0;
    loop {
        if args.at.is_some_and(|at| last >= at) {
            break;
        }
        match (args.until, replay.next_time().map_err(wrong)?) {
            (Some(Until::Wall(until)), Some(next)) if next.wall > until => break,
            (Some(Until::Seconds(s)), Some(next)) if next.mono.since(begun.mono).as_secs() >= s => break,
            _ => {}
        }
        let Some(done) = replay.step().map_err(wrong)? else { break };
        last = done.number;
        seen.take(done, args, begun);
    }
    if let Some(at) = args.at.filter(|at| *at > last) {
        return Err(Failure::usage(format!("there is no step {at}: the recording has {last} steps")));
    }
    let outcome = if seen.first.is_some() { Outcome::No } else { Outcome::Yes };
    let whole = args.at.is_none() && args.until.is_none();
    match (args.step, args.show) {
        (true, _) => list(&seen.steps, screen, |s| {
            format!("{:>7} {:>10} {}", s["step"], s["seconds"].as_str().unwrap_or_default(), text(&s["what"]))
        })?,
        (false, Some(Show::Endpoints)) => endpoints(replay.controller(), screen)?,
        (false, Some(Show::Switches)) => switches(replay.controller(), screen)?,
        (false, Some(Show::Rows)) => rows(replay.controller(), screen)?,
        (false, Some(Show::Events)) => {
            let events: Vec<Value> = seen.events.iter().map(event).collect();
            list(&events, screen, |e| format!("{} {} {}", text(&e["at"]), text(&e["kind"]), text(&e["message"])))?
        }
        (false, Some(Show::Decisions)) => list(&seen.decisions, screen, |d| {
            format!("{:>7} {:>10} {}", d["step"], d["seconds"].as_str().unwrap_or_default(), text(&d["effect"]))
        })?,
        (false, None) => summary(&seen, &replay, last, begun.wall, whole, screen)?,
    };
    if args.step || args.show.is_some() {
        // The listing is the answer; what is wrong with the recording is said beside it.
        if let Some((step, difference)) = &seen.first {
            screen.failure(&Failure::usage(differs(*step, difference)));
        }
        if whole && replay.torn() > 0 {
            screen.failure(&Failure::usage(torn(replay.torn())));
        }
    }
    Ok(outcome)
}

impl Seen {
    fn take(&mut self, done: Done, args: &ReplayArgs, begun: fseg_control::Now) {
        let seconds = format!("{:.3}", done.now.mono.since(begun.mono).as_secs_f64());
        self.flushes += u64::from(done.flushed);
        self.effects += done.effects.len() as u64;
        if args.step {
            self.steps.push(json!({
                "step": done.number, "seconds": seconds, "what": done.what, "as_recorded": done.difference.is_none(),
            }));
        }
        if let Some(difference) = done.difference {
            self.first.get_or_insert((done.number, difference));
        }
        for effect in done.effects {
            match (args.show, effect) {
                (Some(Show::Events), Effect::Event(e)) => self.events.push(e),
                (Some(Show::Decisions), effect) => {
                    self.decisions.extend(
                        describe(&effect)
                            .into_iter()
                            .map(|text| json!({ "step": done.number, "seconds": seconds, "effect": text })),
                    );
                }
                _ => {}
            }
        }
    }
}

/// An effect in lines: one for each message to a switch and each change.
fn describe(effect: &Effect) -> Vec<String> {
    match effect {
        Effect::Send { dpid, messages, .. } => messages.iter().map(|m| format!("to {dpid}: {m}")).collect(),
        Effect::Reply { dpid, message, .. } => vec![format!("to {dpid}: {message}")],
        Effect::Commit(changes) => changes.iter().map(|c| format!("commit {c:?}")).collect(),
        other => vec![format!("{other:?}")],
    }
}

fn text(value: &Value) -> String {
    let line = value.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn list(values: &[Value], screen: &Screen, line: impl Fn(&Value) -> String) -> Result<Outcome, Failure> {
    if screen.json {
        return screen.value(&values, false);
    }
    let mut out = String::new();
    for value in values {
        let _ = writeln!(out, "{}", printable(&line(value)));
    }
    screen.text(&out)
}

fn timestamp(at: Wall) -> Value {
    serde_json::to_value(Timestamp(at)).unwrap_or_default()
}

fn event(e: &Event) -> Value {
    json!({
        "at": timestamp(e.at), "kind": format!("{:?}", e.kind).to_lowercase(), "message": e.message,
        "endpoint": e.endpoint, "peer": e.peer, "service": e.service, "mac": e.mac,
        "place": e.place.as_ref().map(ToString::to_string),
    })
}

fn endpoints(controller: &Controller, screen: &Screen) -> Result<Outcome, Failure> {
    let all: Vec<Value> = controller
        .endpoints()
        .map(|(e, standing, class)| {
            let place = e.binding.as_ref().and_then(|b| controller.config().place(b.location));
            json!({
                "id": e.id.0, "mac": e.mac.to_string(), "name": e.name.as_ref().map(ToString::to_string),
                "addresses": e.binding.as_ref().map(|b| b.addresses.clone()).unwrap_or_default(),
                "place": place.map(|p| p.to_string()),
                "state": match standing {
                    Standing::Admitted => "admitted",
                    Standing::Stranger => "stranger",
                    Standing::Away => "away",
                },
                "subject": e.session.as_ref().map(|s| s.identity.subject.to_string()),
                "class": class.map(fseg_model::ClassId::get),
            })
        })
        .collect();
    table(&all, &["NAME", "MAC", "ADDRESSES", "PLACE", "STATE", "SUBJECT"], "No endpoints.", screen)
}

fn switches(controller: &Controller, screen: &Screen) -> Result<Outcome, Failure> {
    let all: Vec<Value> = controller
        .switches()
        .map(|(dpid, s)| {
            json!({
                "name": controller.config().switch_name(dpid), "dpid": dpid.to_string(),
                "phase": match s.phase {
                    LinkPhase::Down => "down",
                    LinkPhase::Reading => "reading",
                    LinkPhase::Up => "up",
                },
                "rows": s.rows.to_string(), "foreign": s.foreign.to_string(), "pending": s.pending.to_string(),
                "error": s.last_error,
            })
        })
        .collect();
    table(&all, &["NAME", "DPID", "PHASE", "ROWS", "FOREIGN", "PENDING", "ERROR"], "No switches.", screen)
}

/// Values as JSON, or as a table of the fields that the headers name.
fn table<const N: usize>(
    values: &[Value],
    headers: &'static [&'static str; N],
    empty: &'static str,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    if screen.json {
        return screen.value(&values, false);
    }
    let mut rows = Rows::new(headers, empty);
    for value in values {
        let cell = |header: &str| match &value[header.to_lowercase()] {
            Value::String(s) => s.clone(),
            Value::Array(a) => a.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        rows.add(Tone::Plain, headers.map(cell));
    }
    screen.text(&rows.render(screen))
}

fn rows(controller: &Controller, screen: &Screen) -> Result<Outcome, Failure> {
    let mut all = Vec::new();
    for (dpid, _) in controller.switches() {
        let mut rows: Vec<_> = controller.desired(dpid).into_iter().flat_map(|d| d.iter()).collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let name = controller.config().switch_name(dpid);
        all.extend(rows.iter().map(|r| json!({ "switch": name, "row": r.to_add(controller.round()).to_string() })));
    }
    list(&all, screen, |r| format!("{} {}", text(&r["switch"]), text(&r["row"])))
}

fn digest(d: Option<&EffectDigest>) -> String {
    d.map_or_else(|| "nothing".to_owned(), |d| format!("{} {:016x}", d.kind, d.digest))
}

fn differs(step: u64, d: &Difference) -> String {
    format!(
        "step {step}, effect {}: recorded was {}, replayed is {}",
        d.effect,
        digest(d.recorded.as_ref()),
        digest(d.replayed.as_ref())
    )
}

fn torn(octets: usize) -> String {
    format!(
        "the recording ends with {octets} octets of an unfinished step: the node or its machine stopped at that moment"
    )
}

fn summary(
    seen: &Seen,
    replay: &Replay<'_>,
    steps: u64,
    begun: Wall,
    whole: bool,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let torn_octets = if whole { replay.torn() } else { 0 };
    if screen.json {
        return screen.value(
            &json!({
                "program": replay.program(), "from": timestamp(begun), "to": timestamp(replay.now().wall),
                "steps": steps, "flushes": seen.flushes, "effects": seen.effects, "as_recorded": seen.first.is_none(),
                "first_difference": seen.first.as_ref().map(|(step, d)| json!({
                    "step": step, "effect": d.effect,
                    "recorded": digest(d.recorded.as_ref()), "replayed": digest(d.replayed.as_ref()),
                })),
                "torn_octets": torn_octets, "ended": replay.ended(),
            }),
            false,
        );
    }
    let mut out = String::new();
    let (from, to) = (timestamp(begun), timestamp(replay.now().wall));
    let _ = writeln!(out, "Recorded by fsegd {}, from {} to {}.", replay.program(), text(&from), text(&to));
    let _ = writeln!(out, "{steps} steps: {} flushes with {} effects.", seen.flushes, seen.effects);
    match &seen.first {
        None => out.push_str("Every effect is as it was recorded.\n"),
        Some((step, d)) => {
            let line = format!("NOT as recorded: {}.\n", differs(*step, d));
            out.push_str(&screen.toned(Tone::Bad, &line));
        }
    }
    match (replay.ended(), torn_octets) {
        (_, 1..) => {
            let _ = writeln!(out, "{}.", torn(torn_octets));
        }
        (Some(why), _) => {
            let _ = writeln!(out, "It was ended: {why}.");
        }
        (None, 0) if whole => out.push_str("It has no end: the node is still running, or was killed.\n"),
        _ => {}
    }
    screen.text(&out)
}

//! `fseg logs --follow`: the last entries, then what happens.

use fseg_api::{LogEntry, OperationId};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::listing::{Filter, log_line};
use crate::output::Screen;

/// The longest line of the event stream, in bytes.
const LINE: usize = 1 << 20;

/// Prints entries until the node ends the stream. The stream is opened before the log is read, so that nothing falls
/// between them; entries that come by both ways are printed once. When the node cuts this reader off because it fell
/// behind, what was missed is read from the log.
pub(crate) async fn follow(client: &Client, limit: u16, filter: &Filter, screen: &Screen) -> Result<Outcome, Failure> {
    let mut last = None;
    let mut limit = limit;
    loop {
        let stream = client.stream(OperationId::Events).await?;
        let query = format!("limit={limit}");
        let at = At { query: Some(&query), ..At::default() };
        let mut entries: Vec<LogEntry> = client.get(OperationId::Log, at).await?;
        entries.reverse();
        for entry in entries {
            print(&entry, &mut last, filter, screen)?;
        }
        match events(stream, &mut last, filter, client, screen).await? {
            End::CutOff => limit = 1000,
            End::Closed => return Err(client.nonsense("the node ended the event stream")),
        }
    }
}

enum End {
    CutOff,
    Closed,
}

fn print(entry: &LogEntry, last: &mut Option<u64>, filter: &Filter, screen: &Screen) -> Result<(), Failure> {
    if last.is_none_or(|last| entry.seq > last) {
        *last = Some(entry.seq);
        if !filter.fits(entry) {
            return Ok(());
        }
        if screen.json {
            screen.value(entry, true)?
        } else {
            screen.text(&log_line(entry, screen))?
        };
    }
    Ok(())
}

async fn events(
    mut body: Incoming,
    last: &mut Option<u64>,
    filter: &Filter,
    client: &Client,
    screen: &Screen,
) -> Result<End, Failure> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| client.nonsense(e))?.into_data() else { continue };
        for event in events.push(&data).ok_or_else(|| client.nonsense("an event is too long"))? {
            if event.name == "cut-off" {
                return Ok(End::CutOff);
            }
            let entry = serde_json::from_str(&event.data).map_err(|e| client.nonsense(e))?;
            print(&entry, last, filter, screen)?;
        }
    }
    Ok(End::Closed)
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

/// Cuts a byte stream into events (WHATWG HTML, section 9.2.6), as far as nodes use the format.
#[derive(Debug, Default)]
struct Events {
    line: Vec<u8>,
    event: Event,
}

impl Events {
    /// Adds bytes; the events that they complete. `None` when a line is longer than any entry.
    fn push(&mut self, bytes: &[u8]) -> Option<Vec<Event>> {
        let mut out = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() > LINE {
                    return None;
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    out.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.event.name = value.to_owned(),
                "data" if self.event.data.len() + value.len() > LINE => return None,
                "data" => self.event.data.push_str(value),
                _ => {}
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_bytes_are_cut() {
        let stream =
            ": hello\n\nevent: admitted\nid: 1\ndata: {\"a\":1}\n\ndata:two\r\n\r\nevent: cut-off\ndata: x\n\nrest";
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        let expected = [event("admitted", "{\"a\":1}"), event("", "two"), event("cut-off", "x")];
        for size in 1..stream.len() {
            let mut events = Events::default();
            let found: Vec<_> = stream.as_bytes().chunks(size).flat_map(|chunk| events.push(chunk).unwrap()).collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn endless_lines_end() {
        let mut events = Events::default();
        let chunk = vec![b'x'; LINE];
        assert!(events.push(&chunk).is_some());
        assert!(events.push(&chunk).is_none());
        let mut events = Events::default();
        let line = format!("data: {}\n", "x".repeat(LINE / 2));
        assert!(events.push(line.as_bytes()).is_some());
        assert!(events.push(line.as_bytes()).is_some());
        assert!(events.push(line.as_bytes()).is_none());
    }
}

//! The event stream (WHATWG HTML, server-sent events): one log entry each.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use fseg_api::LogEntry;
use futures::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::serve::{Shutdown, stopped};

/// So many readers at once; each costs a task and a connection.
pub(super) const READERS: usize = 64;

/// The response for one reader. It ends when the reader has fallen behind by more than the channel holds (a last event
/// `cut-off` says so), when the node stops, and when the node drops the channel.
pub(super) fn stream_of(
    receiver: Receiver<LogEntry>,
    permit: OwnedSemaphorePermit,
    shutdown: Shutdown,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(Some((receiver, permit, shutdown)), |reader| async move {
        let (mut receiver, permit, shutdown) = reader?;
        let next = tokio::select! {
            next = receiver.recv() => next,
            () = stopped(shutdown.clone()) => return None,
        };
        match next {
            Ok(entry) => Some((Ok(event(&entry)), Some((receiver, permit, shutdown)))),
            Err(RecvError::Lagged(missed)) => {
                let last = Event::default().event("cut-off").data(format!("{missed} entries behind; read the log"));
                Some((Ok(last), None))
            }
            Err(RecvError::Closed) => None,
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

fn event(entry: &LogEntry) -> Event {
    let event = Event::default().event(entry.kind.as_str()).id(entry.seq.to_string());
    match serde_json::to_string(entry) {
        Ok(text) => event.data(text),
        Err(e) => event.comment(format!("entry {} could not be written: {e}", entry.seq)),
    }
}

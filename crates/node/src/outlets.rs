//! Where messages for switches go: one outlet for each connected switch, claimed by its connection.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fseg_model::Dpid;
use fseg_openflow::Message;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

/// How many batches may wait for a switch. One batch is what one flush of the controller has for it.
const WAITING: usize = 256;

/// The outlets of all connected switches.
#[derive(Clone, Default)]
pub struct Outlets(Arc<Mutex<HashMap<Dpid, Outlet>>>);

/// The controller's end of one connection.
pub struct Outlet {
    connection: u64,
    peer: SocketAddr,
    batches: mpsc::Sender<Vec<Message>>,
    /// Held only for its end: without it the connection ends at once, whatever still waits to be written.
    _stays: oneshot::Sender<()>,
}

/// The switch's end of one connection. While it exists the connection counts as alive.
pub struct Feed {
    /// What to write.
    pub batches: mpsc::Receiver<Vec<Message>>,
    /// Resolves when the outlet is gone.
    pub cut: oneshot::Receiver<()>,
}

impl Outlet {
    /// Both ends of a connection that is numbered `connection`, with the switch at `peer`.
    pub fn new(connection: u64, peer: SocketAddr) -> (Self, Feed) {
        let (batches, feed) = mpsc::channel(WAITING);
        let (stays, cut) = oneshot::channel();
        (Self { connection, peer, batches, _stays: stays }, Feed { batches: feed, cut })
    }
}

impl Outlets {
    /// A connection says that it is this switch: its messages go here from now on.
    ///
    /// # Errors
    /// The peer of the connection that has this datapath id already and is alive. Anybody can claim a datapath id; who
    /// was first is only displaced by its own end.
    pub fn claim(&self, dpid: Dpid, outlet: Outlet) -> Result<(), SocketAddr> {
        let mut map = self.lock();
        match map.get(&dpid) {
            Some(first) if !first.batches.is_closed() => Err(first.peer),
            _ => {
                map.insert(dpid, outlet);
                Ok(())
            }
        }
    }

    /// Where a connected switch is.
    pub fn peer(&self, dpid: Dpid) -> Option<SocketAddr> {
        self.lock().get(&dpid).map(|o| o.peer)
    }

    /// A connection is gone.
    pub fn disconnect(&self, dpid: Dpid, connection: u64) {
        let mut map = self.lock();
        if map.get(&dpid).is_some_and(|o| o.connection == connection) {
            map.remove(&dpid);
        }
    }

    /// Hands each connection its batch. What is for a connection that is gone is dropped.
    pub fn deliver(&self, outgoing: Outgoing) {
        let mut map = self.lock();
        for ((dpid, connection), batch) in outgoing.0 {
            let Some(outlet) = map.get(&dpid).filter(|o| o.connection == connection) else { continue };
            match outlet.batches.try_send(batch.messages) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(lost)) if !batch.rows => {
                    // Endpoints ask again; the switch may still catch up.
                    debug!(%dpid, lost = lost.len(), "the switch does not take its messages; answers to endpoints are dropped");
                }
                Err(_) => {
                    // Its tables would no longer be known. Without its outlet the connection ends; when it is back it is read.
                    warn!(%dpid, "the switch does not take its messages; closing the connection");
                    map.remove(&dpid);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Dpid, Outlet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one flush has for switches: a single batch for each connection, in the order of the effects.
#[derive(Default)]
pub struct Outgoing(BTreeMap<(Dpid, u64), Batch>);

#[derive(Default)]
struct Batch {
    messages: Vec<Message>,
    /// True when the switch's tables rest on it; false when it is answers to endpoints only.
    rows: bool,
}

impl Outgoing {
    /// Messages that must arrive while the connection lasts.
    pub fn rows(&mut self, dpid: Dpid, connection: u64, messages: Vec<Message>) {
        let batch = self.0.entry((dpid, connection)).or_default();
        batch.messages.extend(messages);
        batch.rows = true;
    }

    /// A packet for an endpoint.
    pub fn reply(&mut self, dpid: Dpid, connection: u64, message: Message) {
        self.0.entry((dpid, connection)).or_default().messages.push(message);
    }
}

#[cfg(test)]
mod tests {
    use fseg_openflow::Body;

    use super::*;

    const ONE: Dpid = Dpid(1);

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn message(xid: u32) -> Message {
        Message { xid, body: Body::BarrierRequest }
    }

    fn reply(connection: u64, xid: u32) -> Outgoing {
        let mut out = Outgoing::default();
        out.reply(ONE, connection, message(xid));
        out
    }

    fn xids(batch: &[Message]) -> Vec<u32> {
        batch.iter().map(|m| m.xid).collect()
    }

    #[test]
    fn who_is_connected_is_not_displaced() {
        let outlets = Outlets::default();
        let (first, mut feed) = Outlet::new(1, peer(1));
        assert_eq!(outlets.claim(ONE, first), Ok(()));
        let (second, _feed) = Outlet::new(2, peer(2));
        assert_eq!(outlets.claim(ONE, second), Err(peer(1)));
        assert_eq!(outlets.peer(ONE), Some(peer(1)));
        assert!(feed.cut.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty), "the first goes on");
        // Dead, but not yet signed off: its place is free, and its late sign-off takes nothing from its successor.
        drop(feed);
        let (third, _feed) = Outlet::new(3, peer(3));
        assert_eq!(outlets.claim(ONE, third), Ok(()));
        outlets.disconnect(ONE, 1);
        assert_eq!(outlets.peer(ONE), Some(peer(3)));
        outlets.disconnect(ONE, 3);
        assert_eq!(outlets.peer(ONE), None);
    }

    #[test]
    fn one_flush_is_one_batch_in_order() {
        let outlets = Outlets::default();
        let (outlet, mut feed) = Outlet::new(7, peer(1));
        outlets.claim(ONE, outlet).unwrap();
        let mut out = Outgoing::default();
        out.rows(ONE, 7, vec![message(1), message(2)]);
        for xid in 3..600 {
            out.reply(ONE, 7, message(xid));
        }
        out.reply(ONE, 6, message(1000));
        out.reply(Dpid(2), 7, message(1000));
        outlets.deliver(out);
        assert_eq!(xids(&feed.batches.try_recv().unwrap()), (1..600).collect::<Vec<_>>());
        assert!(feed.batches.try_recv().is_err());
    }

    #[test]
    fn too_many_replies_are_dropped_and_too_many_rows_end_the_connection() {
        let outlets = Outlets::default();
        let (outlet, mut feed) = Outlet::new(7, peer(1));
        outlets.claim(ONE, outlet).unwrap();
        for xid in 0..WAITING as u32 + 50 {
            outlets.deliver(reply(7, xid));
        }
        assert_eq!(outlets.peer(ONE), Some(peer(1)), "replies alone do not end a connection");
        assert!(feed.cut.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
        let mut out = reply(7, 1);
        out.rows(ONE, 7, vec![message(2)]);
        outlets.deliver(out);
        assert_eq!(outlets.peer(ONE), None);
        assert!(feed.cut.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed), "cut at once");
    }
}

//! A model of connection tracking with address translation, as far as `ct()` of ovs-actions(7) describes it. Nothing ages.

use std::collections::HashMap;

use crate::action::{NatAction, NatKind};
use crate::field::Field;
use crate::simulate::connection::{ICMP, ICMP6, Question, TCP, Tracked, Tracker, Tuple, state, wished};
use crate::simulate::packet::Packet;

/// A connection that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its zone.
    pub zone: u16,
    /// As its first packet was.
    pub original: Tuple,
    /// As answers are.
    pub reply: Tuple,
    /// Its mark.
    pub mark: u32,
    /// Its label.
    pub label: u128,
    /// An answer was seen.
    pub answered: bool,
}

/// All connections of one switch.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    connections: Vec<Connection>,
    by_tuple: HashMap<(u16, Tuple), (usize, bool)>,
}

impl Connections {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// All connections, oldest first.
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Whether a TCP segment may begin a connection: anything but an answer or an end.
    fn may_begin(packet: &Packet) -> bool {
        if packet.get(Field::IpProto) != Some(TCP.into()) {
            return true;
        }
        let flags = packet.value(Field::TcpFlags);
        let (fin, syn, rst, ack) = (1, 2, 4, 16);
        flags & (fin | rst) == 0 && flags & (syn | ack) != syn | ack
    }

    fn begin(&mut self, zone: u16, original: Tuple, nat: Option<&NatAction>) -> Option<usize> {
        let mut reply = nat.and_then(|nat| wished(original, nat)).unwrap_or(original).inverse();
        if nat.is_some_and(|nat| nat.kind == Some(NatKind::Src)) {
            // Two inner connections must not look alike from outside.
            let mut tries = 0;
            while self.by_tuple.contains_key(&(zone, reply)) {
                tries += 1;
                if tries > usize::from(u16::MAX) {
                    return None;
                }
                let port = if matches!(reply.protocol, ICMP | ICMP6) { &mut reply.from } else { &mut reply.to };
                *port = port.wrapping_add(1).max(1024);
            }
        }
        let index = self.connections.len();
        self.by_tuple.insert((zone, original), (index, false));
        self.by_tuple.insert((zone, reply), (index, true));
        self.connections.push(Connection { zone, original, reply, mark: 0, label: 0, answered: false });
        Some(index)
    }

    /// Makes room for the same connection in the other direction.
    fn forget(&mut self, index: usize) {
        self.by_tuple.retain(|_, (other, _)| *other != index);
    }
}

impl Tracker for Connections {
    fn track(&mut self, packet: &Packet, question: Question<'_>) -> Tracked {
        let zone = question.zone;
        let own = Tuple::of(packet);
        let mut flags = state::TRACKED;
        let mut found = match (own, Tuple::quoted(packet)) {
            (Some(tuple), _) => self.by_tuple.get(&(zone, tuple)).copied(),
            (None, Some(quoted)) => {
                flags |= state::RELATED;
                // The error goes against the packet it quotes.
                self.by_tuple.get(&(zone, quoted)).map(|(index, reply)| (*index, !reply))
            }
            (None, None) => None,
        };
        if let (Some((index, true)), true, true) = (found, question.commit, question.force) {
            self.forget(index);
            found = None;
        }
        let reply = |reply: bool| if reply { state::REPLY } else { 0 };
        match (found, own) {
            (Some((_, back)), None) => flags |= reply(back),
            (Some((index, back)), Some(_)) => {
                let answered = self.connections.get_mut(index).is_some_and(|connection| {
                    connection.answered |= back;
                    connection.answered
                });
                flags |= reply(back) | if answered { state::ESTABLISHED } else { state::NEW };
            }
            (None, Some(_)) if Self::may_begin(packet) => flags |= state::NEW,
            (None, _) => flags = state::TRACKED | state::INVALID,
        }
        let mut translated = None;
        if let (Some((index, back)), Some(_), Some(_)) = (found, question.nat, own) {
            translated = self.connections.get(index).map(|connection| seen_from_afar(connection, back));
        }
        let mut index = found.map(|(index, _)| index);
        if let (true, None, Some(tuple), true) = (question.commit, found, own, flags & state::NEW != 0) {
            index = self.begin(zone, tuple, question.nat.filter(|nat| nat.kind.is_some()));
            translated = index.and_then(|index| self.connections.get(index)).map(|c| seen_from_afar(c, false));
        }
        let connection = index.and_then(|index| self.connections.get(index));
        let original = connection.map(|connection| connection.original).or(own);
        Tracked {
            state: flags,
            mark: Some(connection.map_or(0, |connection| connection.mark)),
            label: Some(connection.map_or(0, |connection| connection.label)),
            original: original.filter(|_| flags & state::INVALID == 0),
            translated,
        }
    }

    fn remember(&mut self, tracked: &Tracked, zone: u16, mark: u32, label: u128) {
        let index = tracked.original.and_then(|tuple| self.by_tuple.get(&(zone, tuple))).map(|(index, _)| *index);
        if let Some(connection) = index.and_then(|index| self.connections.get_mut(index)) {
            (connection.mark, connection.label) = (mark, label);
        }
    }
}

/// What a packet of a connection looks like to its other side.
fn seen_from_afar(connection: &Connection, reply: bool) -> Tuple {
    if reply { connection.original.inverse() } else { connection.reply.inverse() }
}

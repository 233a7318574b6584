//! A relay between a switch and its controller that makes Open vSwitch look like a switch of another maker: it answers
//! everything that is not OpenFlow 1.3 itself with the errors that such a switch gives, and hides from its answers what
//! only Open vSwitch has. It knows nothing of the node's own encoder: numbers are those of the OpenFlow 1.3.5 specification.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the switch behind the relay is made to look like.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// How many tables it shows.
    pub tables: u8,
    /// How many rows it says that each takes; `None` leaves what it says itself.
    pub rows: Option<u32>,
    /// Whether it has meters.
    pub meters: bool,
    /// Whether its rows can write the fields of ARP.
    pub writes_arp: bool,
}

impl Default for Looks {
    fn default() -> Self {
        Self { tables: 16, rows: None, meters: true, writes_arp: true }
    }
}

/// A running relay; it ends when dropped.
pub struct Relay {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    looks: Looks,
    node: SocketAddr,
    stopping: AtomicBool,
    refused: AtomicU64,
    passed: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

const ERROR: u8 = 1;
const EXPERIMENTER: u8 = 4;
const PACKET_IN: u8 = 10;
const PACKET_OUT: u8 = 13;
const FLOW_MOD: u8 = 14;
const MULTIPART_REQUEST: u8 = 18;
const MULTIPART_REPLY: u8 = 19;
const METER_MOD: u8 = 29;

const METER_FEATURES: u16 = 11;
const TABLE_FEATURES: u16 = 12;

/// An error's type and code (7.4.4).
type Refusal = (u16, u16);
const BAD_TYPE: Refusal = (1, 1);
const BAD_MULTIPART: Refusal = (1, 2);
const BAD_EXPERIMENTER: Refusal = (1, 3);
const BAD_LENGTH: Refusal = (1, 6);
const BAD_ACTION_EXPERIMENTER: Refusal = (2, 2);
const BAD_SET_TYPE: Refusal = (2, 13);
const BAD_INSTRUCTION: Refusal = (3, 1);
const BAD_INSTRUCTION_EXPERIMENTER: Refusal = (3, 5);
const BAD_MATCH_FIELD: Refusal = (4, 6);
const BAD_MATCH_MASK: Refusal = (4, 8);
const BAD_TABLE: Refusal = (5, 2);
const BAD_METER: Refusal = (12, 2);

impl Relay {
    /// Takes switches at `listen` and passes on to the node at `node`.
    pub fn start(listen: SocketAddr, node: SocketAddr, looks: Looks) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            looks,
            node,
            stopping: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Ok(Self { shared, accepting: Some(accepting) })
    }

    /// How many messages it has refused in the switch's place.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// How many messages of the node it has passed on.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both); // it may be closed already
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stopping.load(Ordering::Relaxed) {
        let Ok((switch, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        // Without a node the switch finds its connection closed, as it would without the relay.
        let Ok(node) = TcpStream::connect(shared.node) else { continue };
        let _ = serve(switch, node, shared); // a socket that failed is closed by being dropped
    }
}

fn serve(switch: TcpStream, node: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    for stream in [&switch, &node] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
    }
    let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|s| s.peer_addr().is_ok());
    open.extend([switch.try_clone()?, node.try_clone()?]);
    drop(open);
    // Both directions write to the node: one passes answers on, the other one gives errors.
    let to_node = Arc::new(Mutex::new(node.try_clone()?));
    let (from_node, to_switch) = (node, switch.try_clone()?);
    thread::spawn({
        let (shared, to_node) = (shared.clone(), to_node.clone());
        move || downwards(from_node, to_switch, &to_node, &shared)
    });
    let looks = shared.looks;
    thread::spawn(move || upwards(switch, &to_node, looks));
    Ok(())
}

fn end(a: &TcpStream, b: &TcpStream) {
    for stream in [a, b] {
        let _ = stream.shutdown(Shutdown::Both); // it may be closed already
    }
}

/// One whole message.
fn message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 8];
    from.read_exact(&mut bytes)?;
    let length = usize::from(number(&bytes, 2)?);
    if length < 8 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.resize(length, 0);
    from.read_exact(bytes.get_mut(8..).ok_or(io::ErrorKind::InvalidData)?)?;
    Ok(bytes)
}

fn number(bytes: &[u8], at: usize) -> io::Result<u16> {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn slice(bytes: &[u8], from: usize, to: usize) -> io::Result<&[u8]> {
    bytes.get(from..to).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn octet(bytes: &[u8], at: usize) -> io::Result<u8> {
    bytes.get(at).copied().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn downwards(mut node: TcpStream, mut switch: TcpStream, to_node: &Mutex<TcpStream>, shared: &Shared) {
    while let Ok(m) = message(&mut node) {
        let result = match refusal(&m, shared.looks).unwrap_or(Some(BAD_LENGTH)) {
            None => {
                shared.passed.fetch_add(1, Ordering::Relaxed);
                switch.write_all(&m)
            }
            Some((kind, code)) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                let mut error = vec![4, ERROR, 0, 0];
                error.extend_from_slice(m.get(4..8).unwrap_or_default());
                error.extend(kind.to_be_bytes());
                error.extend(code.to_be_bytes());
                error.extend_from_slice(m.get(..m.len().min(64)).unwrap_or_default());
                set_length(&mut error);
                to_node.lock().unwrap_or_else(PoisonError::into_inner).write_all(&error)
            }
        };
        if result.is_err() {
            break;
        }
    }
    end(&node, &switch);
}

fn upwards(mut switch: TcpStream, to_node: &Mutex<TcpStream>, looks: Looks) {
    while let Ok(m) = message(&mut switch) {
        let Ok(m) = disguised(m, looks) else { break };
        if to_node.lock().unwrap_or_else(PoisonError::into_inner).write_all(&m).is_err() {
            break;
        }
    }
    end(&switch, &to_node.lock().unwrap_or_else(PoisonError::into_inner));
}

fn set_length(message: &mut [u8]) {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&length);
    }
}

/// How a plain switch would refuse a message; `None` when it would not.
fn refusal(m: &[u8], looks: Looks) -> io::Result<Option<Refusal>> {
    Ok(match octet(m, 1)? {
        EXPERIMENTER => Some(BAD_EXPERIMENTER),
        PACKET_OUT => {
            let length = usize::from(number(m, 16)?);
            actions(slice(m, 24, 24 + length)?)?
        }
        FLOW_MOD => flow_mod(m, looks)?,
        METER_MOD if !looks.meters => Some(BAD_METER),
        MULTIPART_REQUEST => match number(m, 8)? {
            METER_FEATURES | 9 | 10 if !looks.meters => Some(BAD_MULTIPART),
            0..=13 => None,
            _ => Some(BAD_MULTIPART),
        },
        0..=29 => None,
        _ => Some(BAD_TYPE),
    })
}

/// `struct ofp_flow_mod` (7.3.4.1).
fn flow_mod(m: &[u8], looks: Looks) -> io::Result<Option<Refusal>> {
    let table = octet(m, 24)?;
    if table != 0xff && table >= looks.tables {
        return Ok(Some(BAD_TABLE));
    }
    let length = usize::from(number(m, 50)?);
    let mut fields = slice(m, 52, 48 + length)?;
    while !fields.is_empty() {
        let (class, kind, size) = (number(fields, 0)?, octet(fields, 2)?, usize::from(octet(fields, 3)?));
        if !standard(class, kind) {
            return Ok(Some(BAD_MATCH_FIELD));
        }
        if kind & 1 == 1 && is_port(kind) {
            return Ok(Some(BAD_MATCH_MASK));
        }
        fields = slice(fields, 4 + size, fields.len())?;
    }
    let mut rest = slice(m, 48 + length.next_multiple_of(8), m.len())?;
    while !rest.is_empty() {
        let (kind, size) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let refused = match kind {
            3 | 4 => actions(slice(rest, 8, size)?)?,
            6 if !looks.meters => Some(BAD_INSTRUCTION),
            0xffff => Some(BAD_INSTRUCTION_EXPERIMENTER),
            _ => None,
        };
        if refused.is_some() {
            return Ok(refused);
        }
        rest = slice(rest, size.max(8), rest.len())?;
    }
    Ok(None)
}

fn actions(mut list: &[u8]) -> io::Result<Option<Refusal>> {
    while !list.is_empty() {
        let (kind, size) = (number(list, 0)?, usize::from(number(list, 2)?));
        match kind {
            0xffff => return Ok(Some(BAD_ACTION_EXPERIMENTER)),
            // OFPAT_SET_FIELD, which has no masks.
            25 if !standard(number(list, 4)?, octet(list, 6)?) || octet(list, 6)? & 1 == 1 => {
                return Ok(Some(BAD_SET_TYPE));
            }
            _ => {}
        }
        list = slice(list, size.max(8), list.len())?;
    }
    Ok(None)
}

/// Table 11: the class OFPXMC_OPENFLOW_BASIC has the fields 0 to 39.
fn standard(class: u16, kind: u8) -> bool {
    class == 0x8000 && kind >> 1 <= 39
}

/// Ports of TCP, UDP and SCTP.
fn is_port(kind: u8) -> bool {
    (13..=18).contains(&(kind >> 1))
}

/// Fields of ARP.
fn is_arp(kind: u8) -> bool {
    (21..=25).contains(&(kind >> 1))
}

/// An answer of the switch, without what only Open vSwitch has.
fn disguised(m: Vec<u8>, looks: Looks) -> io::Result<Vec<u8>> {
    match octet(&m, 1)? {
        MULTIPART_REPLY if number(&m, 8)? == TABLE_FEATURES => {
            let mut out = slice(&m, 0, 16)?.to_vec();
            let mut rest = slice(&m, 16, m.len())?;
            while !rest.is_empty() {
                let size = usize::from(number(rest, 0)?);
                if octet(rest, 2)? < looks.tables {
                    table(slice(rest, 0, size)?, looks, &mut out)?;
                }
                rest = slice(rest, size.max(64), rest.len())?;
            }
            set_length(&mut out);
            Ok(out)
        }
        PACKET_IN => {
            // Header, buffer, length, reason, table and cookie: 24 bytes; then the match (7.4.1).
            let length = usize::from(number(&m, 26)?);
            let mut fields = Vec::new();
            let mut rest = slice(&m, 28, 24 + length)?;
            while !rest.is_empty() {
                let end = 4 + usize::from(octet(rest, 3)?);
                if standard(number(rest, 0)?, octet(rest, 2)?) {
                    fields.extend_from_slice(slice(rest, 0, end)?);
                }
                rest = slice(rest, end, rest.len())?;
            }
            let mut out = slice(&m, 0, 26)?.to_vec();
            out.extend(u16::try_from(fields.len() + 4).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(&fields);
            out.resize(24 + (fields.len() + 4).next_multiple_of(8), 0);
            out.extend_from_slice(slice(&m, 24 + length.next_multiple_of(8), m.len())?);
            set_length(&mut out);
            Ok(out)
        }
        _ => Ok(m),
    }
}

/// `struct ofp_table_features` (7.3.5.5).
fn table(features: &[u8], looks: Looks, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(slice(features, 0, 60)?);
    match looks.rows {
        Some(rows) => out.extend(rows.to_be_bytes()),
        None => out.extend_from_slice(slice(features, 60, 64)?),
    }
    let mut rest = slice(features, 64, features.len())?;
    while !rest.is_empty() {
        let (kind, size) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let body = slice(rest, 4, size)?;
        let mut kept = Vec::new();
        match kind {
            // Instructions and actions: types with lengths.
            0 | 1 | 4..=7 => {
                let mut list = body;
                while !list.is_empty() {
                    let (what, length) = (number(list, 0)?, usize::from(number(list, 2)?).max(4));
                    let meter = kind <= 1 && what == 6;
                    if what != 0xffff && (looks.meters || !meter) {
                        kept.extend_from_slice(slice(list, 0, length)?);
                    }
                    list = slice(list, length, list.len())?;
                }
            }
            2 | 3 => kept.extend(body.iter().filter(|t| **t < looks.tables)),
            // Fields: headers without values.
            8 | 10 | 12..=15 => {
                let mut list = body;
                while !list.is_empty() {
                    let (class, field) = (number(list, 0)?, octet(list, 2)?);
                    let length = if class == 0xffff { 8 } else { 4 };
                    if standard(class, field) && (kind <= 10 || looks.writes_arp || !is_arp(field)) {
                        let header = slice(list, 0, 4)?;
                        // Without its mask where 1.3 has none.
                        let (bare, size) = if is_port(field) { (field & !1, 2) } else { (field, octet(header, 3)?) };
                        kept.extend_from_slice(slice(header, 0, 2)?);
                        kept.extend([bare, size]);
                    }
                    list = slice(list, length, list.len())?;
                }
            }
            _ => {
                rest = slice(rest, size.next_multiple_of(8), rest.len())?;
                continue;
            }
        }
        out.extend(kind.to_be_bytes());
        out.extend(u16::try_from(kept.len() + 4).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&kept);
        out.resize(out.len() + ((kept.len() + 4).next_multiple_of(8) - (kept.len() + 4)), 0);
        rest = slice(rest, size.next_multiple_of(8), rest.len())?;
    }
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row in table 6 with one field and one instruction.
    fn row(field: &[u8], instruction: &[u8]) -> Vec<u8> {
        let mut m = vec![4, FLOW_MOD, 0, 0, 0, 0, 0, 1];
        m.resize(48, 0);
        m[24] = 6;
        m.extend(1_u16.to_be_bytes());
        m.extend(u16::try_from(4 + field.len()).unwrap().to_be_bytes());
        m.extend_from_slice(field);
        m.resize(48 + (4 + field.len()).next_multiple_of(8), 0);
        m.extend_from_slice(instruction);
        set_length(&mut m);
        m
    }

    #[test]
    fn what_is_not_openflow_13_is_refused_as_a_plain_switch_does() {
        let plain = Looks::default();
        let refused = |m: &[u8]| refusal(m, plain).unwrap();
        let ip = [0x80, 0x00, 5 << 1, 2, 8, 0];
        assert_eq!(refused(&row(&ip, &[0, 1, 0, 8, 7, 0, 0, 0])), None);
        // reg5=1; a masked TCP port; an experimenter's action, and instruction.
        assert_eq!(refused(&row(&[0, 1, 5 << 1, 4, 0, 0, 0, 1], &[])), Some(BAD_MATCH_FIELD));
        let masked = [&ip[..], &[0x80, 0, 10 << 1, 1, 6, 0x80, 0, 14 << 1 | 1, 4, 0, 80, 0xff, 0xf0]].concat();
        assert_eq!(refused(&row(&masked, &[])), Some(BAD_MATCH_MASK));
        let action = [0, 4, 0, 24, 0, 0, 0, 0, 0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20, 0, 6, 0, 0, 0, 0, 0, 0];
        assert_eq!(refused(&row(&ip, &action)), Some(BAD_ACTION_EXPERIMENTER));
        let register = [0, 4, 0, 24, 0, 0, 0, 0, 0, 25, 0, 16, 0, 1, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(refused(&row(&ip, &register)), Some(BAD_SET_TYPE));
        assert_eq!(refused(&row(&ip, &[0xff, 0xff, 0, 8, 0, 0, 0x23, 0x20])), Some(BAD_INSTRUCTION_EXPERIMENTER));
        // Bundles, of either kind; an experimenter's question; a message cut short.
        assert_eq!(
            refused(&[4, EXPERIMENTER, 0, 16, 0, 0, 0, 1, 0x4f, 0x4e, 0x46, 0, 0, 0, 8, 0xfc]),
            Some(BAD_EXPERIMENTER)
        );
        assert_eq!(refused(&[4, 33, 0, 8, 0, 0, 0, 1]), Some(BAD_TYPE));
        assert_eq!(
            refused(&[4, MULTIPART_REQUEST, 0, 16, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 0, 0]),
            Some(BAD_MULTIPART)
        );
        assert!(refusal(&row(&ip, &[])[..50], plain).is_err());
    }
}

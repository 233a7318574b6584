//! The answering side: says its own name to everybody.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};

use super::Service;
use crate::LabError;

/// What `serve` prints once all its ports are open.
pub(super) const READY: &str = "ready";

/// Opens the ports, says so, and answers until killed.
///
/// TCP: the name and a newline, then the connection is closed. UDP: the datagram's content, a space, and the name.
pub(super) fn serve(name: &str, services: &[Service]) -> Result<(), LabError> {
    let mut loops: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for service in services {
        let place = || LabError::file(service.to_string());
        let answer = name.to_owned();
        match *service {
            Service::Tcp(port) => {
                let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(place())?;
                // A whole network may ask in the same instant; a connection request that is dropped comes back only
                // after a second, which would look like blocked.
                listen(&listener, Backlog::MAXALLOWABLE).map_err(std::io::Error::from).map_err(place())?;
                loops.push(Box::new(move || answer_tcp(&listener, &answer)));
            }
            Service::Udp(port) => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(place())?;
                loops.push(Box::new(move || answer_udp(&socket, &answer)));
            }
            // The kernel answers these.
            Service::Echo => {}
        }
    }
    let mut out = io::stdout();
    writeln!(out, "{READY}").and_then(|()| out.flush()).map_err(LabError::file("standard output"))?;
    for answer in loops {
        thread::spawn(answer);
    }
    loop {
        thread::park();
    }
}

fn answer_tcp(listener: &TcpListener, name: &str) {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                // A name fits any socket buffer, so this cannot block; a peer that is gone is its own affair.
                let _ = stream.write_all(format!("{name}\n").as_bytes());
            }
            // Out of descriptors, or a connection reset before it was accepted: neither lasts.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn answer_udp(socket: &UdpSocket, name: &str) {
    let mut datagram = [0u8; 512];
    loop {
        match socket.recv_from(&mut datagram) {
            Ok((length, peer)) => {
                let mut answer = datagram.get(..length).unwrap_or_default().to_vec();
                answer.extend_from_slice(format!(" {name}").as_bytes());
                // An answer that cannot be sent shows at the asking side.
                let _ = socket.send_to(&answer, peer);
            }
            // An ICMP error for an earlier answer.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

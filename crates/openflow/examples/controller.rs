//! A controller in a few lines: waits for switches on a TCP port, tells each to be an ordinary learning switch, and shows
//! what it sends. The session machine does hello, features, echo and errors; the book of transactions says when the rows
//! are in force.
//!
//! ```text
//! cargo run --example controller -- 127.0.0.1:6653
//! ovs-vsctl set-controller br0 tcp:127.0.0.1:6653
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fseg_openflow::{
    Body, Effect, FlowMod, Framer, Input, Message, Outcome, Session, SessionConfig, Transactions, parse_flow,
};

const ROWS: [&str; 2] =
    ["table=0,priority=1,actions=NORMAL", "table=0,priority=100,dl_type=0x88cc,actions=CONTROLLER:128"];

fn main() -> std::io::Result<()> {
    let place = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6653".to_owned());
    let listener = TcpListener::bind(&place)?;
    println!("waiting for switches on {place}");
    for stream in listener.incoming() {
        if let Err(error) = serve(stream?) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

/// One connection, until it ends.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (mut session, mut effects) = Session::new(0, SessionConfig::default());
    let mut framer = Framer::new();
    let mut book: Transactions<&str> = Transactions::new(1_000);
    let mut chunk = [0; 16_384];
    while !session.is_closed() {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(message) => stream.write_all(&message.encode())?,
                Effect::Ready(features) => {
                    println!("switch {:016x} is here", features.datapath_id);
                    stream.write_all(&rows(&mut book))?;
                }
                Effect::Deliver(message) => match book.handle(&message) {
                    Outcome::Confirmed(rows) => println!("in force: {rows:?}"),
                    Outcome::Refused { token, error } => println!("refused: {token}: {error}"),
                    _ => println!("{message}"),
                },
                Effect::Close(reason) => println!("closed: {reason}"),
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) => {
                println!("the switch has gone");
                return Ok(());
            }
            Ok(count) => framer.push(chunk.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        effects.extend(session.handle(Input::Timeout, now()));
        while let Some(bytes) = framer.next_bytes().map_err(std::io::Error::other)? {
            let input = match Message::decode(bytes) {
                Ok(message) => Input::Message(message),
                Err(error) => Input::Undecodable { bytes: bytes.to_vec(), error },
            };
            effects.extend(session.handle(input, now()));
        }
    }
    Ok(())
}

/// Empties the switch and gives it our rows, with a barrier behind them.
fn rows(book: &mut Transactions<&'static str>) -> Vec<u8> {
    let empty = ("delete all rows", FlowMod::delete_all(fseg_openflow::flow::TABLE_ALL, 0, 0));
    let rows = ROWS.iter().filter_map(|text| parse_flow(text).ok().map(|row| (*text, row)));
    let mut out = Vec::new();
    for (name, row) in std::iter::once(empty).chain(rows) {
        if let Ok(xid) = book.change(name) {
            Message { xid, body: Body::FlowMod(row) }.encode_into(&mut out);
        }
    }
    Message { xid: book.barrier(), body: Body::BarrierRequest }.encode_into(&mut out);
    out
}

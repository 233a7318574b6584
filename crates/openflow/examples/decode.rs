//! Prints OpenFlow messages given in hexadecimal, or rows in ovs-ofctl's syntax as the bytes of a flow-mod:
//!
//! ```text
//! cargo run --example decode -- 0414000800000001
//! cargo run --example decode -- 'table=0,ip,nw_dst=10.0.0.1,actions=drop'
//! ```

use std::process::ExitCode;

use fseg_openflow::{Body, Framer, Message, parse_flow};

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| if let [high, low] = pair { u8::try_from(high << 4 | low).ok() } else { None })
        .collect()
}

fn main() -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for argument in std::env::args().skip(1) {
        let mut fail = |what: &dyn std::fmt::Display| {
            eprintln!("{what}");
            exit = ExitCode::from(2);
        };
        match bytes(&argument) {
            Some(bytes) => {
                let mut framer = Framer::new();
                framer.push(&bytes);
                loop {
                    match framer.next() {
                        Ok(Some(message)) => println!("{message}"),
                        Ok(None) => break,
                        Err(error) => {
                            fail(&error);
                            if framer.is_lost() {
                                break;
                            }
                        }
                    }
                }
                if framer.waiting() > 0 {
                    fail(&format_args!("{} bytes are left over at the end", framer.waiting()));
                }
            }
            None => match parse_flow(&argument) {
                Ok(flow) => {
                    let message = Message { xid: 1, body: Body::FlowMod(flow) };
                    let hex: String = message.encode().iter().map(|byte| format!("{byte:02x}")).collect();
                    println!("{hex}\n{message}");
                }
                Err(error) => fail(&error),
            },
        }
    }
    exit
}

//! Reads rows in the syntax of `ovs-ofctl add-flow` or `dump-flows` from standard input and prints each as it is
//! understood: canonical text, what it still needs, and its bytes.
//!
//! ```text
//! echo 'tcp,tp_dst=80,actions=output:2' | cargo run --example rows
//! ovs-ofctl -O OpenFlow13 dump-flows br0 | cargo run --example rows
//! ```

use std::io::BufRead;
use std::process::ExitCode;

use fseg_openflow::{Body, Message, parse_flow};

fn main() -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    let mut number = 0;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        number += 1;
        if line.trim().is_empty() || line.starts_with("OFPST_FLOW") {
            continue;
        }
        match parse_flow(&line) {
            Ok(row) => {
                if let Some((field, needs)) = row.matches.missing_prerequisite() {
                    println!("line {number}: a switch will refuse this match: {field} needs {needs}");
                }
                let message = Message { xid: number, body: Body::FlowMod(row) };
                let hex: String = message.encode().iter().map(|byte| format!("{byte:02x}")).collect();
                println!("{message}\n{hex}");
            }
            Err(error) => {
                eprintln!("line {number}: {error}");
                exit = ExitCode::from(2);
            }
        }
    }
    exit
}

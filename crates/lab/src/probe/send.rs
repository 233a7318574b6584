//! The rude side: puts frames on the wire exactly as they are given, well-formed or not (packet(7)).

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage, sendto, socket,
};

use super::SENT;
use crate::command::DEFAULT_LIMIT;
use crate::{LabError, Namespace};

/// The most text that is read: 8 MiB, thousands of frames.
const LARGEST: u64 = 8 << 20;

/// Sends what standard input holds, one frame a line in hexadecimal digits, `times` over with a pause after each frame.
/// Says how many the kernel took; it refuses what is shorter than an Ethernet header or longer than the interface's MTU.
pub(super) fn send(interface: &str, times: u32, pause: Duration) -> Result<u64, LabError> {
    let mut input = String::new();
    io::stdin().take(LARGEST).read_to_string(&mut input).map_err(LabError::file("standard input"))?;
    let frames = parse(&input)?;
    let address = link_address(interface)?;
    let failed = |errno: nix::Error| LabError::File { path: interface.into(), source: errno.into() };
    // Protocol 0: this socket only sends.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
    let mut sent = 0;
    for _ in 0..times {
        for frame in &frames {
            if sendto(socket.as_raw_fd(), frame, &address, MsgFlags::empty()).is_ok() {
                sent += 1;
            }
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }
    Ok(sent)
}

/// The interface's own link address: its index is what tells the kernel where to send.
fn link_address(interface: &str) -> Result<LinkAddr, LabError> {
    let list = getifaddrs().map_err(|errno| LabError::Machine(format!("the interfaces cannot be listed: {errno}")))?;
    let link = |address: SockaddrStorage| {
        (address.family() == Some(AddressFamily::Packet)).then(|| address.as_link_addr().copied()).flatten()
    };
    let mut found = list.filter(|i| i.interface_name == interface).filter_map(|i| i.address.and_then(link));
    found.next().ok_or_else(|| LabError::Usage(format!("there is no interface {interface} here")))
}

fn parse(text: &str) -> Result<Vec<Vec<u8>>, LabError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.enumerate().map(|(n, line)| octets(line).ok_or_else(|| bad(n + 1, line))).collect()
}

fn bad(number: usize, line: &str) -> LabError {
    let shown: String = line.chars().take(40).collect();
    LabError::Usage(format!("frame {number}: `{shown}` is not an even number of hexadecimal digits"))
}

fn octets(line: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = line.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect())
}

/// Sends these frames from `eth0` of `place`, `times` over with a pause after each; answers how many the kernel took.
pub fn send_frames(place: &Namespace, frames: &[Vec<u8>], times: u32, pause: Duration) -> Result<u64, LabError> {
    let mut args = super::program()?;
    let (times_text, micros) = (times.to_string(), pause.as_micros().to_string());
    let options = ["send", "--interface", "eth0", "--times", &times_text, "--pause-us", &micros];
    args.extend(options.map(str::to_owned));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut proc = place.spawn(&args)?;
    let hex = |frame: &Vec<u8>| frame.iter().map(|octet| format!("{octet:02x}")).collect::<String>() + "\n";
    proc.write(&frames.iter().map(hex).collect::<String>())?;
    proc.close_stdin();
    let pauses = pause.saturating_mul(times).saturating_mul(u32::try_from(frames.len()).unwrap_or(u32::MAX));
    let output = proc.wait(DEFAULT_LIMIT + pauses.saturating_mul(2))?.check()?;
    let sent = output.stdout.trim().strip_prefix(SENT).and_then(|number| number.trim().parse().ok());
    sent.ok_or_else(|| LabError::Answer {
        command: output.command,
        answer: output.stdout.clone(),
        expected: "how many frames were sent",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_hexadecimal_lines() {
        assert_eq!(parse("00ff\n\n 0A1b \n").unwrap(), [vec![0x00, 0xff], vec![0x0a, 0x1b]]);
        assert!(parse("").unwrap().is_empty());
        for bad in ["0", "zz", "00 11", "é0"] {
            let error = parse(&format!("00\n{bad}\n")).unwrap_err().to_string();
            assert!(error.contains("frame 2") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn an_interface_is_found_by_name() {
        link_address("lo").unwrap();
        let error = link_address("no-such-if").unwrap_err().to_string();
        assert!(error.contains("no-such-if"), "{error}");
    }
}

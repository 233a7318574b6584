//! What crosses a wire: the office of the demo with thousands of endpoints more, on real switches.

mod crowd;
mod dhcp;
mod faucet;
mod login;
mod packet_in;
mod restart;
mod throughput;
mod withdraw;

use std::ffi::OsString;
use std::path::PathBuf;

use fseg_lab::Lab;
use fseg_lab::sandbox::{self, Entered, Keep, Options};
use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

pub(crate) type Told<T = ()> = Result<T, SceneError>;

/// Runs one of the measurements in a sandbox; true when it went well.
pub(crate) fn run(which: &str, number: usize) -> bool {
    if let Some(why) = sandbox::obstacle().filter(|_| !sandbox::inside()) {
        eprintln!("{why}");
        return false;
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let options = Options { dir: std::env::var_os("FSEG_BENCH_DIR").map(PathBuf::from), keep: Keep::OnFailure };
    let dir = match sandbox::enter(&options, &words) {
        Ok(Entered::Ended(code)) => return code == 0,
        Ok(Entered::Inside(dir)) => dir,
        Err(e) => {
            eprintln!("{e}");
            return false;
        }
    };
    let told = Lab::new(&dir).map_err(SceneError::from).and_then(|lab| measure(&lab, which, number));
    if let Err(e) = &told {
        eprintln!("{which}: {e}");
    }
    told.is_ok()
}

fn measure(lab: &Lab, which: &str, number: usize) -> Told {
    if which == "packet-in" {
        return packet_in::measure(lab, &crowd::generated(lab)?);
    }
    if let Some(state) = which.strip_prefix("dhcp") {
        let office = crowd::leasing(lab, state == "-disk")?;
        return dhcp::measure(lab, &office, if state == "-disk" { "disk" } else { "tmpfs" });
    }
    let office = crowd::office(lab, number)?;
    match which {
        "faucet" => faucet::measure(lab, &office),
        "login" => login::measure(&office, number),
        "withdraw" => withdraw::measure(&office, number),
        "throughput" => throughput::measure(lab, &office),
        "restart" => restart::measure(&office, number),
        _ => Err(SceneError::wrong(format!("there is no measurement {which}"))),
    }
}

/// An endpoint's address.
pub(crate) fn address(office: &Office<'_>, name: &str) -> Told<String> {
    let address = office.endpoint(name)?.address()?;
    address.map(|a| a.to_string()).ok_or_else(|| SceneError::wrong(format!("{name} has no address")))
}

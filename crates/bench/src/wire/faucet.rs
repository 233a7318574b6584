//! The same withdrawal with Faucet: an access list that permits a flow is changed and reloaded under it.
//!
//! Faucet is taken from PyPI into a virtual environment (`FSEG_FAUCET` names its `bin` folder). Two hosts, one access list:
//! less than what FSEG is given.

use std::path::Path;
use std::time::Duration;

use fseg_lab::{Jack, Lab, Signal};
use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

use super::{Told, withdraw};
use crate::report::{figure, ms, percentile};

const TIMES: usize = 5;

fn config(permitted: bool) -> String {
    let allow = u8::from(permitted);
    format!(
        "acls:\n  bulk:\n\
         \x20   - rule: {{ dl_type: 0x800, nw_proto: 6, tcp_dst: 5201, actions: {{ allow: {allow} }} }}\n\
         \x20   - rule: {{ dl_type: 0x800, nw_proto: 17, udp_dst: 5201, actions: {{ allow: {allow} }} }}\n\
         \x20   - rule: {{ actions: {{ allow: 1 }} }}\n\
         vlans:\n  office: {{ vid: 100 }}\n\
         dps:\n  sw:\n    dp_id: 0xfa\n    hardware: Open vSwitch\n    interfaces:\n\
         \x20     1: {{ native_vlan: office, acls_in: [bulk] }}\n      2: {{ native_vlan: office }}\n"
    )
}

pub(crate) fn measure(lab: &Lab, office: &Office<'_>) -> Told {
    let Some(bin) = std::env::var_os("FSEG_FAUCET") else {
        println!("SKIPPED Faucet: FSEG_FAUCET does not name a folder with its program");
        return Ok(());
    };
    let failed = |e: std::io::Error| SceneError::wrong(e.to_string());
    let [_, sw1, _] = &office.switches;
    let yaml = lab.dir().join("faucet.yaml");
    std::fs::write(&yaml, config(true)).map_err(failed)?;
    let program = Path::new(&bin).join("faucet").display().to_string();
    let faucet = lab.root().daemon(
        "faucet",
        &[&program, "--ryu-ofp-tcp-listen-port", "6699", "--ryu-ofp-listen-host", "0.0.0.0"],
        |c| {
            c.env("FAUCET_CONFIG", &yaml)
                .env("FAUCET_LOG", lab.dir().join("logs/faucet-own.log"))
                .env("FAUCET_EXCEPTION_LOG", lab.dir().join("logs/faucet-exceptions.log"))
                .env("FAUCET_PROMETHEUS_ADDR", "127.0.0.1");
        },
    )?;
    sw1.add_bridge("fct")?;
    let mut hosts = Vec::new();
    for n in 1..=2_u16 {
        let host = lab.endpoint(&format!("fct-{n}"), &format!("02:00:00:00:0c:0{n}"))?;
        let port = format!("fct-p{n}");
        sw1.add_port("fct", &port, n)?;
        host.plug(Jack::of(sw1, &port))?;
        host.static_address(&format!("172.31.0.{n}/24"), None)?;
        hosts.push(host);
    }
    sw1.vsctl(&["set", "bridge", "fct", "other-config:datapath-id=00000000000000fa"])?;
    sw1.vsctl(&["set-controller", "fct", "tcp:192.0.2.1:6699"])?;
    let ready = |from: &fseg_lab::Endpoint| from.exec(&["ping", "-c", "1", "-W", "1", "172.31.0.2"]).map(|o| o.ok());
    let mut tries = 0;
    while !ready(&hosts[0])? {
        tries += 1;
        if tries > 40 {
            return Err(SceneError::wrong("Faucet does not forward: see logs/faucet.log"));
        }
    }
    for udp in [false, true] {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            std::fs::write(&yaml, config(true)).map_err(failed)?;
            faucet.signal(Signal::SIGHUP);
            std::thread::sleep(Duration::from_secs(3));
            let cut = || {
                std::fs::write(&yaml, config(false)).map_err(failed)?;
                faucet.signal(Signal::SIGHUP);
                Ok(())
            };
            took.push(ms(withdraw::last_packet(hosts[1].namespace(), hosts[0].namespace(), "172.31.0.2", udp, cut)?));
        }
        let what = if udp { "UDP" } else { "TCP" };
        let note = format!("two hosts; {TIMES} times, longest {:.1} ms", percentile(&mut took, 100));
        figure(
            "withdraw",
            &format!("Faucet reloads an access list: last packet of a {what} flow, median"),
            percentile(&mut took, 50),
            "ms",
            &note,
        );
    }
    Ok(())
}

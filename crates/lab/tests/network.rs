//! Real switches and endpoints: forwarding, moving, restarting, probing, addresses. Needs root and the lab's tools.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_lab::probe::{self, Service, Verdict};
use fseg_lab::sandbox::testing::in_sandbox;
use fseg_lab::{Client, DEFAULT_LIMIT, Endpoint, Jack, Lab, LabError, Ovs};

/// Room for a TCP repetition (1 s) on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// A switch `sw1` that forwards like any other, and `count` endpoints `e1`… on ports `sw1-p1`…, addresses 10.0.0.1….
fn office(lab: &Lab, count: u8) -> Result<(Ovs, Vec<Endpoint>), LabError> {
    let ovs = lab.ovs("office")?;
    ovs.add_bridge("sw1")?;
    ovs.add_flow("sw1", "priority=1,actions=normal")?;
    let mut endpoints = Vec::new();
    for number in 1..=count {
        let port = format!("sw1-p{number}");
        ovs.add_port("sw1", &port, number.into())?;
        let endpoint = lab.endpoint(&format!("e{number}"), &format!("02:00:00:00:00:{number:02x}"))?;
        endpoint.static_address(&format!("10.0.0.{number}/24"), None)?;
        endpoint.plug(port.as_str())?;
        ovs.wait_for_link(&port, true)?;
        endpoints.push(endpoint);
    }
    Ok((ovs, endpoints))
}

#[test]
fn endpoints_reach_each_other_through_the_switch() {
    in_sandbox("endpoints_reach_each_other_through_the_switch", |lab| {
        let (ovs, endpoints) = office(lab, 2)?;
        assert_eq!(endpoints[0].address()?, Some(ip(1)));
        assert!(endpoints[0].ping(ip(2))?);
        assert!(!endpoints[0].ping(ip(9))?, "nobody has this address");
        assert!(ovs.dump_flows("sw1")?.contains("priority=1 actions=NORMAL"), "{}", ovs.dump_flows("sw1")?);
        // The machine's own stack must not answer on the ports.
        lab.root().add_address("lo", "10.0.0.77/32")?;
        assert!(!endpoints[0].ping(ip(77))?, "the lab's own namespace answered on a switch port");
        for (number, endpoint) in ["1", "2"].iter().zip(&endpoints) {
            assert!(!endpoint.ip(&["-6", "address"])?.stdout.contains("inet6"), "IPv6 is off unless asked for");
            endpoint.enable_ipv6("eth0")?;
            endpoint.ip(&["address", "add", &format!("fd00::{number}/64"), "dev", "eth0", "nodad"])?;
        }
        endpoints[0].exec(&["ping", "-c", "3", "-i", "0.2", "fd00::2"])?.check()?;
        endpoints[1].unplug()?;
        ovs.wait_for_link("sw1-p2", false)?;
        assert!(!endpoints[0].ping(ip(2))?);
        endpoints[1].plug("sw1-p2")?;
        ovs.wait_for_link("sw1-p2", true)?;
        assert!(endpoints[0].ping(ip(2))?);
        // A controller may have written the port into the database long before anything is there.
        ovs.vsctl(&["--no-wait", "add-port", "sw1", "sw1-p7", "--", "set", "interface", "sw1-p7", "ofport_request=7"])?;
        endpoints[1].move_to("sw1-p7")?;
        ovs.wait_for_link("sw1-p7", true)?;
        assert_eq!(ovs.vsctl(&["get", "interface", "sw1-p7", "ofport"])?, "7\n");
        // The switch forgets where the address was when that address speaks from elsewhere.
        assert!(endpoints[1].ping(ip(1))?);
        assert_eq!(ovs.errors()?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn the_matrix_shows_exactly_the_wrong_cell() {
    in_sandbox("the_matrix_shows_exactly_the_wrong_cell", |lab| {
        let (ovs, endpoints) = office(lab, 3)?;
        ovs.add_flow("sw1", "priority=9,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.3,tp_dst=443,actions=drop")?;
        let services = [Service::Tcp(80), Service::Tcp(443), Service::Udp(53), Service::Echo];
        let table = probe::matrix(&endpoints, &services, TIMEOUT)?;
        assert_eq!(table.len(), 24);
        let diff = table.diff(|_, _, _| true);
        let wrong: Vec<_> = diff.wrong().map(|(cell, seen)| (cell.clone(), seen)).collect();
        assert_eq!(wrong.len(), 1, "{diff}");
        assert_eq!((wrong[0].0.source.as_str(), wrong[0].0.target.as_str()), ("e1", "e3"));
        assert_eq!((wrong[0].0.service, wrong[0].1), (Service::Tcp(443), Verdict::Blocked));
        assert!(diff.to_string().contains("e1 → e3 tcp/443: blocked, expected pass"), "{diff}");
        assert!(
            table
                .diff(|source, target, service| (source, target, service) != ("e1", "e3", Service::Tcp(443)))
                .is_right()
        );
        // A switch that sends everything for e2 to e3 instead is found as a wrong answer.
        ovs.add_flow("sw1", "priority=9,udp,in_port=1,nw_dst=10.0.0.2,actions=mod_dl_dst:02:00:00:00:00:03,mod_nw_dst:10.0.0.3,output:3")?;
        ovs.add_flow("sw1", "priority=9,udp,in_port=3,nw_dst=10.0.0.1,actions=mod_nw_src:10.0.0.2,output:1")?;
        let table = probe::matrix(&endpoints, &[Service::Udp(53)], TIMEOUT)?;
        assert_eq!(
            table.get("e1", "e2", Service::Udp(53)),
            Some(Verdict::WrongAnswer),
            "{}",
            table.diff(|_, _, _| true)
        );
        assert_eq!(table.get("e2", "e3", Service::Udp(53)), Some(Verdict::Pass));
        Ok(())
    });
}

#[test]
fn a_connection_survives_a_move_to_another_switch() {
    in_sandbox("a_connection_survives_a_move_to_another_switch", |lab| {
        let (ovs, endpoints) = office(lab, 2)?;
        let far = lab.namespace("far")?;
        let other = lab.ovs_in("other", &far)?;
        other.add_bridge("sw2")?;
        other.add_flow("sw2", "actions=normal")?;
        other.add_port("sw2", "sw2-p4", 4)?;
        ovs.add_port("sw1", "sw1-up", 9)?;
        other.add_port("sw2", "sw2-up", 9)?;
        lab.patch("sw1-up", Jack::of(&other, "sw2-up"))?;

        let server = endpoints[0].spawn(&["nc", "-v", "-n", "-l", "10.0.0.1", "7000"])?;
        server.wait_for_stderr("Listening", DEFAULT_LIMIT)?;
        let mut client = endpoints[1].spawn(&["nc", "-n", "10.0.0.1", "7000"])?;
        client.write("before\n")?;
        server.wait_for_stdout("before\n", DEFAULT_LIMIT)?;

        endpoints[1].move_to(Jack::of(&other, "sw2-p4"))?;
        ovs.wait_for_link("sw1-p2", false)?;
        other.wait_for_link("sw2-p4", true)?;
        client.write("after\n")?;
        server.wait_for_stdout("after\n", DEFAULT_LIMIT)?;

        lab.unpatch("sw1-up")?;
        other.wait_for_link("sw2-up", false)?;
        ovs.wait_for_link("sw1-up", false)?;
        assert!(!endpoints[1].ping(ip(1))?, "the link between the switches is cut");

        endpoints[1].move_to("sw1-p2")?;
        ovs.wait_for_link("sw1-p2", true)?;
        client.write("home\n")?;
        server.wait_for_stdout("before\nafter\nhome\n", DEFAULT_LIMIT)?;
        assert_eq!(endpoints[1].address()?, Some(ip(2)));
        Ok(())
    });
}

#[test]
fn a_switch_restarts_and_is_killed() {
    in_sandbox("a_switch_restarts_and_is_killed", |lab| {
        let (ovs, endpoints) = office(lab, 2)?;
        for kill in [false, true] {
            assert!(endpoints[0].ping(ip(2))?);
            if kill {
                ovs.kill9()
            } else {
                ovs.stop()?
            }
            assert!(!ovs.running());
            assert!(!endpoints[0].ping(ip(2))?, "a switch that does not run forwards");
            ovs.start()?;
            assert!(ovs.running());
            assert_eq!(ovs.dump_flows("sw1")?, "", "a fail-secure switch starts empty");
            ovs.add_flow("sw1", "priority=1,actions=normal")?;
            for port in ["sw1-p1", "sw1-p2"] {
                ovs.wait_for_link(port, true)?;
            }
        }
        assert!(endpoints[0].ping(ip(2))?);
        Ok(())
    });
}

#[test]
fn addresses_come_from_real_clients_into_the_endpoint_only() {
    in_sandbox("addresses_come_from_real_clients_into_the_endpoint_only", |lab| {
        let (_ovs, endpoints) = office(lab, 3)?;
        let server = &endpoints[0];
        // No DHCP server is among the lab's tools, so a test needs the one in BusyBox.
        if !server.exec(&["sh", "-c", "busybox --list | grep -qx udhcpd"])?.ok() {
            eprintln!(
                "SKIPPED the DHCP exchange: this BusyBox has no udhcpd (`apt-get install udhcpd` or a full busybox)"
            );
            return Ok(());
        }
        let config = lab.dir().join("udhcpd.conf");
        let leases = lab.dir().join("udhcpd.leases");
        fs::write(&leases, "").unwrap();
        let text = format!(
            "start 10.0.0.100\nend 10.0.0.110\ninterface eth0\nlease_file {}\npidfile {}\noption subnet 255.255.255.0\n\
             option router 10.0.0.1\noption dns 10.0.0.53\noption lease 600\n",
            leases.display(),
            lab.dir().join("udhcpd.pid").display()
        );
        fs::write(&config, text).unwrap();
        let _server = server.spawn(&["busybox", "udhcpd", "-f", &config.to_string_lossy()])?;
        for (endpoint, client) in [(&endpoints[1], Client::Udhcpc), (&endpoints[2], Client::Dhclient)] {
            endpoint.ip(&["address", "flush", "dev", "eth0"])?;
            let running = endpoint.dhcp_daemon(client)?;
            let lease = running.lease().clone();
            assert_eq!(endpoint.address()?, Some(lease.address), "{client:?}");
            assert_eq!((lease.prefix, lease.router, lease.seconds), (24, Some(ip(1)), Some(600)), "{client:?}");
            assert!(endpoint.ip(&["route"])?.stdout.contains("default via 10.0.0.1"), "{client:?}");
            assert_eq!(endpoint.resolv_conf()?, "nameserver 10.0.0.53\n", "{client:?}");
            assert!(endpoint.exec(&["cat", "/etc/resolv.conf"])?.stdout.contains("10.0.0.53"), "{client:?}");
            assert_eq!(lab.root().resolv_conf()?, "", "the client wrote into the machine's own file");
            running.release()?;
            assert_eq!(endpoint.address()?, None, "{client:?}");
            let again = endpoint.dhcp(client)?;
            assert!(endpoint.ping(ip(1))?, "{again:?}");
        }
        endpoints[1].unplug()?;
        let error = endpoints[1].dhcp(Client::Udhcpc).unwrap_err().to_string();
        assert!(error.contains("gave up") && error.contains("no lease"), "{error}");
        Ok(())
    });
}

#[test]
fn a_legacy_network_behind_a_router() {
    in_sandbox("a_legacy_network_behind_a_router", |lab| {
        let (ovs, endpoints) = office(lab, 1)?;
        let (router, old) = (lab.router("old-hq", "02:00:00:00:00:99")?, lab.namespace("mainframe")?);
        ovs.add_port("sw1", "sw1-p9", 9)?;
        router.plug("sw1-p9")?;
        ovs.wait_for_link("sw1-p9", true)?;
        lab.veth_between(&router, "eth1", &old, "eth0")?;
        router.add_address("eth0", "10.0.0.254/24")?;
        router.add_address("eth1", "192.168.0.1/24")?;
        old.add_address("eth0", "192.168.0.2/24")?;
        old.add_route("default", Ipv4Addr::new(192, 168, 0, 1))?;
        endpoints[0].add_route("192.168.0.0/16", ip(254))?;
        let _web = probe::serve(&old, "mainframe", &[Service::Tcp(80)])?;
        let target = probe::Target {
            name: "mainframe".into(),
            ip: Ipv4Addr::new(192, 168, 0, 2),
            services: vec![Service::Tcp(80), Service::Tcp(81), Service::Echo],
        };
        let verdicts: Vec<_> = probe::reach(&endpoints[0], &[target], TIMEOUT)?.iter().map(|one| one.outcome).collect();
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Refused, Verdict::Pass]);
        Ok(())
    });
}

#[test]
fn frames_are_captured() {
    in_sandbox("frames_are_captured", |lab| {
        let (_ovs, endpoints) = office(lab, 2)?;
        if !lab.root().exec(&["sh", "-c", "command -v tcpdump"])?.ok() {
            eprintln!("SKIPPED the capture: tcpdump is not installed");
            return Ok(());
        }
        let capture = lab.capture(&lab.root(), "sw1-p1")?;
        assert!(endpoints[0].ping(ip(2))?);
        let file = lab.dir().join("captures/root-sw1-p1-1.pcap");
        fseg_lab::until("captured frames", DEFAULT_LIMIT, || match fs::metadata(&file).map(|file| file.len()) {
            // The file's header alone is 24 bytes.
            Ok(25..) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        drop(capture);
        Ok(())
    });
}

#[test]
fn mistakes_are_refused_with_the_reason() {
    in_sandbox("mistakes_are_refused_with_the_reason", |lab| {
        let (_ovs, endpoints) = office(lab, 2)?;
        let far = lab.namespace("far")?;
        let says = |error: LabError, words: &str| {
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.exit_code(), 2, "{error}");
        };
        says(lab.ovs("second").unwrap_err(), "one per namespace");
        says(lab.endpoint("e1", "02:00:00:00:00:09").unwrap_err(), "already");
        says(lab.endpoint("e9", "nonsense").unwrap_err(), "not a MAC");
        says(lab.namespace("../up").unwrap_err(), "not a name");
        says(endpoints[1].plug("sw1-p1").unwrap_err(), "unplug that first");
        says(lab.jack(Jack::at(&far, "sw1-p1")).unwrap_err(), "unique");
        says(lab.jack("a-name-beyond-fifteen").unwrap_err(), "too long");
        says(lab.patch("sw1-p8", "sw1-p1").unwrap_err(), "unplug that first");
        says(lab.patch("sw1-p8", "sw1-p8").unwrap_err(), "itself");
        lab.patch("sw1-p8", "sw1-p7")?;
        says(endpoints[1].plug("sw1-p7").unwrap_err(), "holds sw1-p8");
        lab.unpatch("sw1-p7")?;
        assert!(endpoints[0].ping(ip(2))?, "a refused plug must leave the cable where it was");
        endpoints[1].plug("sw1-p8")?;
        lab.unpatch("sw1-p8")?;
        assert!(!endpoints[0].ping(ip(2))?, "the cable was pulled at the jack's end");
        lab.patch("sw1-p8", "sw1-p2")?;
        says(
            probe::matrix(&[lab.endpoint("bare", "02:00:00:00:00:08")?], &[Service::Echo], TIMEOUT).unwrap_err(),
            "no address",
        );
        Ok(())
    });
}

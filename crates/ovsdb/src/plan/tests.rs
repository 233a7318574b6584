use super::*;

fn spec() -> BridgeSpec {
    BridgeSpec {
        name: "sw1".into(),
        datapath_type: "netdev".into(),
        datapath_id: 0x2a,
        protocols: vec!["OpenFlow13".into()],
        fail_mode_secure: true,
        controllers: vec!["tcp:127.0.0.1:6653".into()],
        ports: vec![PortSpec { name: "p1".into(), number: 1, ..PortSpec::default() }],
        ..BridgeSpec::default()
    }
}

/// The results of the reading transaction for a database that has `spec()`, owned by `owner`.
fn results(owner: Value) -> Vec<Value> {
    let id = |n: &str| json!(["uuid", n]);
    let port = |name: &str| json!({ "_uuid": id(&format!("P-{name}")), "name": name, "interfaces": id(&format!("I-{name}")), "external_ids": owner });
    let interface = |name: &str, kind: &str, request: Value| json!({ "_uuid": id(&format!("I-{name}")), "name": name, "type": kind, "options": ["map", []], "mac": ["set", []], "ofport_request": request });
    vec![
        json!({ "rows": [{ "_uuid": id("root"), "bridges": id("B"), "next_cfg": 7 }] }),
        json!({ "rows": [{
            "_uuid": id("B"), "name": "sw1", "ports": ["set", [id("P-sw1"), id("P-p1")]], "controller": id("C"),
            "datapath_type": "netdev", "protocols": "OpenFlow13", "fail_mode": "secure",
            "other_config": ["map", [["datapath-id", "000000000000002a"], ["disable-in-band", "true"]]], "external_ids": owner,
        }] }),
        json!({ "rows": [port("sw1"), port("p1")] }),
        json!({ "rows": [interface("sw1", "internal", json!(["set", []])), interface("p1", "", json!(1))] }),
        json!({ "rows": [{ "_uuid": id("C"), "target": "tcp:127.0.0.1:6653", "connection_mode": "out-of-band", "inactivity_probe": 5000, "max_backoff": 1000 }] }),
    ]
}

fn ours() -> Value {
    json!(["map", [["fseg-owner", "node1"]]])
}

fn planned(results: &[Value], spec: &BridgeSpec) -> Result<Plan, OvsdbError> {
    ensure(&Snapshot::from_results(results).unwrap(), spec, "node1")
}

#[test]
fn nothing_is_done_when_nothing_differs() {
    let plan = planned(&results(ours()), &spec()).unwrap();
    assert_eq!((plan.ops, plan.applied), (vec![], vec![]));
}

#[test]
fn each_difference_is_one_change_in_a_guarded_transaction() {
    type Edit = Box<dyn Fn(&mut BridgeSpec)>;
    let cases: Vec<(&str, Edit)> = vec![
        ("other_config:datapath-id: 000000000000002a → 000000000000002b", Box::new(|s| s.datapath_id += 1)),
        ("fail_mode: secure → none", Box::new(|s| s.fail_mode_secure = false)),
        ("protocols: OpenFlow13 → OpenFlow13,OpenFlow15", Box::new(|s| s.protocols.push("OpenFlow15".into()))),
        ("datapath_type: netdev → system", Box::new(|s| s.datapath_type = "system".into())),
        ("other_config:hwaddr: none → 02:00:00:00:00:01", Box::new(|s| s.mac = Some("02:00:00:00:00:01".into()))),
        ("controller tcp:127.0.0.1:6653 removed", Box::new(|s| s.controllers.clear())),
        ("port p1, ofport_request: 1 → 2", Box::new(|s| s.ports[0].number = 2)),
        ("port p1, type: system → internal", Box::new(|s| s.ports[0].interface_type = "internal".into())),
        ("port p1, options: none → peer=x", Box::new(|s| drop(s.ports[0].options.insert("peer".into(), "x".into())))),
        ("port p1 removed", Box::new(|s| s.ports.clear())),
    ];
    for (expected, edit) in cases {
        let mut wanted = spec();
        edit(&mut wanted);
        let plan = planned(&results(ours()), &wanted).unwrap();
        assert_eq!(plan.applied.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        let names: Vec<_> = plan.ops.iter().map(|op| op["op"].as_str().unwrap()).collect();
        assert_eq!(names, ["wait", "update", "mutate", "select"], "{expected}");
        assert_eq!(plan.ops[0]["table"], "Bridge");
    }
}

#[test]
fn keys_and_ports_of_others_stay() {
    let mut with_more = results(ours());
    with_more[1]["rows"][0]["other_config"][1].as_array_mut().unwrap().push(json!(["mac-table-size", "5"]));
    with_more[1]["rows"][0]["ports"][1].as_array_mut().unwrap().push(json!(["uuid", "P-x"]));
    with_more[2]["rows"].as_array_mut().unwrap().push(
        json!({ "_uuid": ["uuid", "P-x"], "name": "x", "interfaces": ["uuid", "I-x"], "external_ids": ["map", []] }),
    );
    let plan = planned(&with_more, &spec()).unwrap();
    assert!(plan.ops.is_empty());
    assert_eq!(plan.applied.len(), 1);
    assert!(matches!(&plan.applied[0], Applied::PortLeft(port, _) if port == "x") && !plan.applied[0].is_change());

    let mut wanted = spec();
    wanted.ports.clear();
    wanted.datapath_id = 9;
    let plan = planned(&with_more, &wanted).unwrap();
    let row = &plan.ops[1]["row"];
    assert!(row["ports"].to_string().contains("P-x") && !row["ports"].to_string().contains("P-p1"), "{row}");
    assert!(row["other_config"].to_string().contains("mac-table-size"), "{row}");
}

#[test]
fn what_belongs_to_others_is_refused_or_adopted() {
    for owner in [json!(["map", []]), json!(["map", [["fseg-owner", "node2"]]])] {
        let theirs = results(owner);
        assert!(matches!(planned(&theirs, &spec()), Err(OvsdbError::Foreign { .. })));
        let plan = planned(&theirs, &BridgeSpec { adopt: true, ..spec() }).unwrap();
        let adopted =
            plan.applied.iter().filter(|a| matches!(a, Applied::BridgeAdopted(..) | Applied::PortAdopted(..)));
        assert_eq!(adopted.count(), 3);
        let snapshot = Snapshot::from_results(&theirs).unwrap();
        assert!(matches!(remove(&snapshot, "sw1", "node1"), Err(OvsdbError::Foreign { .. })));
    }
    let other = BridgeSpec { name: "sw2".into(), ..spec() };
    let refused = planned(&results(ours()), &other).unwrap_err();
    assert!(
        matches!(&refused, OvsdbError::ForeignPort { port, bridge, .. } if port == "p1" && bridge == "sw1"),
        "{refused}"
    );
}

#[test]
fn removing_is_guarded_and_spares_the_ports_of_others() {
    let mut results = results(ours());
    let snapshot = Snapshot::from_results(&results).unwrap();
    let plan = remove(&snapshot, "sw1", "node1").unwrap();
    assert_eq!((plan.applied, plan.ops.len()), (vec![Applied::BridgeRemoved("sw1".into())], 4));
    assert!(remove(&snapshot, "sw2", "node1").unwrap().ops.is_empty());
    results[2]["rows"][1]["external_ids"] = json!(["map", []]);
    let snapshot = Snapshot::from_results(&results).unwrap();
    assert!(matches!(remove(&snapshot, "sw1", "node1"), Err(OvsdbError::ForeignPort { .. })));
}

/// Every value of the answer replaced by something else, one at a time: an error or a plan, never a panic.
#[test]
fn odd_answers_are_survived() {
    fn replace(value: &mut Value, left: &mut usize, with: &Value) -> bool {
        if *left == 0 {
            *value = with.clone();
            return true;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter_mut().any(|v| replace(v, left, with)),
            Value::Object(fields) => fields.values_mut().any(|v| replace(v, left, with)),
            _ => false,
        }
    }
    for with in
        [json!(null), json!(-1), json!("x"), json!([]), json!({}), json!(["set", [["uuid", 7]]]), json!(["map", [1]])]
    {
        let mut tried = 0;
        for place in 1.. {
            let mut whole = Value::Array(results(ours()));
            if !replace(&mut whole, &mut { place }, &with) {
                break;
            }
            tried += 1;
            if let Value::Array(results) = whole
                && let Ok(snapshot) = Snapshot::from_results(&results)
            {
                let _ = ensure(&snapshot, &spec(), "node1");
                let _ = remove(&snapshot, "sw1", "node1");
            }
        }
        assert!(tried > 100, "only {tried} places were tried");
    }
}

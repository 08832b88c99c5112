//! The gateway as a person starts it, its devices included.

use example_blackbox::Program;

/// Polls often.
fn start() -> Program {
    Program::start(env!("CARGO_BIN_EXE_edge-gateway"), &["--every", "20"])
}

#[test]
fn a_device_is_read_once_for_all_who_watch_and_not_when_nobody_does() {
    let mut gateway = start();
    assert_eq!(
        gateway.get("/devices").body,
        r#"["battery", "boiler", "pump", "valve"]"#
    );
    let mut one = gateway.stream("/devices/boiler");
    assert_eq!(one.data(), r#"{"value":60.1,"unit":"C"}"#);
    let mut two = gateway.stream("/devices/boiler");
    // The newest at once, and then the same as everybody.
    let shared = two.data();
    one.until(&shared);
    assert_eq!(one.data(), two.data());
    let stats = gateway.get("/stats").body;
    assert!(stats.contains(r#""streams":2"#), "{stats}");
    assert!(stats.contains(r#""sources_started":1"#), "{stats}");
    drop((one, two));
    gateway.until("devices/boiler: not polled any more: NoSubscribers");
    gateway.until_answer("/stats", r#""sources":0"#);
}

#[test]
fn a_battery_that_is_full_is_not_read_any_more() {
    let mut gateway = start();
    let mut one = gateway.stream("/devices/battery");
    for charge in 90..=100 {
        let reading = format!(r#"{{"value":{charge}.0,"unit":"%"}}"#);
        assert_eq!(one.data(), reading);
    }
    gateway.until("devices/battery: not polled any more: Condition");
    let stats = gateway.until_answer("/stats", r#""sources":0"#);
    assert!(stats.contains(r#""streams":1"#), "{stats}");
    // Who comes while somebody is there sees the last reading, and starts nothing.
    let mut two = gateway.stream("/devices/battery");
    assert_eq!(two.data(), r#"{"value":100.0,"unit":"%"}"#);
    drop((one, two));
    gateway.until_answer("/stats", r#""streams":0"#);
    let mut three = gateway.stream("/devices/battery");
    assert_eq!(three.data(), r#"{"value":90.0,"unit":"%"}"#);
    let stats = gateway.get("/stats").body;
    assert!(stats.contains(r#""sources_started":2"#), "{stats}");
}

#[test]
fn a_device_that_fails_is_an_event_and_is_read_again() {
    let gateway = start();
    let mut pump = gateway.stream("/devices/pump");
    for data in [
        r#"{"value":1401.0,"unit":"rpm"}"#,
        r#"{"value":1402.0,"unit":"rpm"}"#,
        r#"{"value":1403.0,"unit":"rpm"}"#,
        r#"{"apiVersion":"v3","message":"no signal","statusCode":503}"#,
        r#"{"value":1405.0,"unit":"rpm"}"#,
    ] {
        assert_eq!(pump.data(), data);
    }
    let mut valve = gateway.stream("/devices/valve");
    assert_eq!(
        valve.data(),
        r#"{"apiVersion":"v3","message":"the device does not answer","statusCode":504}"#
    );
}

#[test]
fn a_device_that_does_not_exist_makes_no_topic() {
    let gateway = start();
    for target in ["/devices/toaster", "/devices/", "/devices/boiler/x"] {
        assert_eq!(gateway.get(target).status, 404, "{target}");
    }
    let stats = gateway.get("/stats").body;
    assert!(stats.contains(r#""topics":0"#), "{stats}");
}

#[test]
fn a_signal_ends_its_streams_in_order() {
    let gateway = start();
    let mut streams = [
        gateway.stream("/devices/boiler"),
        gateway.stream("/devices/pump"),
    ];
    for stream in &mut streams {
        stream.data();
    }
    gateway.terminate();
    for stream in streams {
        stream.rest();
    }
    let said = gateway.ended();
    for line in [
        "devices/boiler: not polled any more: Shutdown",
        "devices/pump: not polled any more: Shutdown",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

//! `hythe sockopts`: its table, its JSON, and what it leaves out.

mod common;

use std::process::Stdio;

use common::hythe;
use serde_json::Value;

fn text(arguments: &[&str]) -> String {
    let output = hythe().arg("sockopts").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Vec<Value> {
    let text = text(&[&["--json"], arguments].concat());
    serde_json::from_str(&text).unwrap()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_table_names_level_type_and_default_and_fits_a_hundred_columns() {
    let table = text(&[]);
    let line = table
        .lines()
        .find(|line| line.contains("TCP_NODELAY"))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "IPPROTO_TCP",
            "TCP_NODELAY",
            "NoDelay(bool)",
            "read-write",
            "off"
        ]
    );
    assert!(table.contains("\n    Sends small pieces at once"));
    assert!(table.ends_with("read from a new socket: inet stream, where no other is named.\n"));
    assert!(table.contains("(Read from: unix stream.)"));
    for line in table.lines() {
        assert!(line.len() <= 100, "{line}");
        // Columns never run into each other.
        assert!(
            line.starts_with(' ') || line.split_whitespace().count() >= 5,
            "{line}"
        );
    }
}

#[test]
fn json_has_every_option_of_the_table() {
    let rows = json(&[]);
    let expected: Vec<&str> = hythe_net::option::TABLE
        .iter()
        .map(|line| line.name)
        .collect();
    assert_eq!(names(&rows), expected);
    for row in &rows {
        let fields = row.as_object().unwrap();
        assert_eq!(fields.len(), 10, "{row}");
        assert_eq!(row["numbers"].as_array().unwrap().len(), 2, "{row}");
        for field in ["level", "name", "type", "value", "access", "about"] {
            assert!(!row[field].as_str().unwrap().is_empty(), "{row}");
        }
        // What can't be read has no default, and neither has an unknown path.
        let none = row["access"] == "write-only" || row["name"] == "IP_MTU";
        assert_eq!(row["default_text"].is_null(), none, "{row}");
        assert_eq!(row["socket"].is_null(), none, "{row}");
        assert!(!none || row["default"].is_null(), "{row}");
    }
}

#[test]
fn json_defaults_are_typed_and_tell_their_socket() {
    let rows = json(&[]);
    let find = |name| rows.iter().find(|row| row["name"] == name).unwrap();
    for (name, default, socket) in [
        ("TCP_NODELAY", Value::from(false), "inet stream"),
        ("TCP_NOTSENT_LOWAT", Value::from(0), "inet stream"),
        ("SO_LINGER", Value::Null, "inet stream"),
        ("SO_PEERCRED", Value::Null, "unix stream"),
        ("IP_MULTICAST_TTL", Value::from(1), "inet datagram"),
        ("IPV6_MULTICAST_LOOP", Value::from(true), "inet6 datagram"),
    ] {
        assert_eq!(find(name)["default"], default, "{name}");
        assert_eq!(find(name)["socket"], socket, "{name}");
    }
    let choice = find("TCP_NOTSENT_LOWAT")["about"].as_str().unwrap();
    assert!(choice.contains("0 for the system's choice"), "{choice}");
    assert!(find("TCP_KEEPIDLE")["default"].is_u64());
    assert!(find("TCP_CONGESTION")["default"].is_string());
}

#[test]
fn defaults_are_those_of_this_machine() {
    let rows = json(&["--domain", "inet", "--kind", "stream"]);
    let find = |name| rows.iter().find(|row| row["name"] == name).unwrap();
    for (name, file) in [
        ("TCP_KEEPIDLE", "tcp_keepalive_time"),
        ("TCP_KEEPINTVL", "tcp_keepalive_intvl"),
        ("TCP_KEEPCNT", "tcp_keepalive_probes"),
        ("TCP_CONGESTION", "tcp_congestion_control"),
        ("IP_TTL", "ip_default_ttl"),
    ] {
        let set = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{file}")).unwrap();
        let default = &find(name)["default"];
        let default = default
            .as_str()
            .map_or_else(|| default.to_string(), str::to_owned);
        assert_eq!(default, set.trim(), "{name}");
    }
}

#[test]
fn a_domain_and_a_kind_leave_out_what_their_sockets_lack() {
    let rows = json(&["--domain", "unix"]);
    let unix = names(&rows);
    assert!(unix.contains(&"SO_PEERCRED") && unix.contains(&"SO_SNDBUF"));
    assert!(!unix.iter().any(|name| !name.starts_with("SO_")));

    let rows = json(&["--kind", "datagram"]);
    let datagram = names(&rows);
    assert!(datagram.contains(&"IP_PKTINFO") && datagram.contains(&"IPV6_RECVPKTINFO"));
    assert!(!datagram.iter().any(|name| name.starts_with("TCP_")));

    let rows = json(&["--domain", "inet6", "--kind", "stream"]);
    let six = names(&rows);
    assert!(six.contains(&"TCP_CORK") && six.contains(&"IPV6_V6ONLY"));
    assert!(!six.contains(&"IP_TTL"));

    // Only Unix sockets are of this kind.
    assert_eq!(names(&json(&["--kind", "seqpacket"])), unix);
}

#[test]
fn a_variable_is_as_good_as_a_flag() {
    let output = hythe()
        .arg("sockopts")
        .env("HYTHE_DOMAIN", "unix")
        .env("HYTHE_KIND", "datagram")
        .env("HYTHE_JSON", "true")
        .output()
        .unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!names(&rows).contains(&"TCP_NODELAY"));
}

#[test]
fn a_pair_the_kernel_does_not_have_says_which_and_why() {
    let output = hythe()
        .args(["sockopts", "--domain", "inet", "--kind", "seqpacket"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("domain inet and kind seqpacket: "), "{text}");
    assert!(text.contains("not supported"), "{text}");
}

#[test]
fn an_unknown_domain_is_a_usage_error_that_lists_the_known() {
    let output = hythe()
        .args(["sockopts", "--domain", "ipx"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("inet, inet6, unix"), "{text}");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = hythe()
        .arg("sockopts")
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
}

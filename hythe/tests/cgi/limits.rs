//! Programs that hang, flood, fork and crash: they are ended and told of, and the
//! server is as it was.

use std::time::Instant;

use crate::common::http::Client;
use crate::common::{PATIENCE, Served, eventually, shown};
use crate::scripts::tried;
use crate::stage::{Stage, children, get, processes};

const HEAD: &str = "printf 'Content-Type: text/plain\\n\\n'";

fn is_well(served: &Served) {
    let reply = get(served.address("http"), "/plain.txt", &[]);
    assert_eq!((reply.status, &reply.body[..]), (200, &b"plain\n"[..]));
    eventually("no process is left", || children(served) == 0);
}

#[test]
fn one_that_hangs_is_ended_and_the_rest_is_served_meanwhile() {
    let stage = Stage::new()
        .shell("hang.sh", "sleep 86401")
        .shell("begun.sh", &format!("{HEAD}; echo begun; sleep 86402"))
        .shell(
            "stubborn.sh",
            "trap '' TERM; (trap '' TERM; exec sleep 86403) & while :; do sleep 0.1; done",
        );
    let served = stage.serve(&["--cgi-timeout", "2"]);
    let address = served.address("http");
    let mut waiting: Vec<_> = ["hang", "stubborn"]
        .map(|name| {
            let mut client = Client::of_program(address);
            client.send(format!("GET /cgi/{name}.sh HTTP/1.1\r\nHost: quay\r\n\r\n").as_bytes());
            client
        })
        .into();
    eventually("they run", || {
        processes("86401") == 1 && processes("86403") == 1
    });
    assert_eq!(get(address, "/plain.txt", &[]).body, b"plain\n");
    for client in &mut waiting {
        let reply = client.reply("GET");
        assert_eq!(reply.status, 504);
        assert!(reply.body.ends_with(b"the program took too long\n"));
    }
    let output = tried(&[&format!("{}cgi/begun.sh", served.url("http"))]);
    assert_eq!(output.status.code(), Some(18), "{}", shown(&output));
    assert_eq!(output.stdout, b"begun\n");
    is_well(&served);
    for marker in ["86401", "86402", "86403"] {
        eventually("all of them are ended", || processes(marker) == 0);
    }
    let log = served.stop();
    assert_eq!(
        log.matches("ended, since it took too long").count(),
        3,
        "{log}"
    );
}

#[test]
fn one_that_floods_is_cut_off_at_the_limit() {
    let stage = Stage::new()
        .shell("flood.sh", &format!("{HEAD}; exec yes 86411"))
        .shell(
            "some.sh",
            &format!("{HEAD}; head -c $QUERY_STRING /dev/zero"),
        );
    let served = stage.serve(&["--cgi-max-output", "100K"]);
    let url = served.url("http");
    let limit = 100 * 1024;
    for (length, code) in [(limit - 1, 0), (limit, 0), (limit + 1, 18)] {
        let output = tried(&[&format!("{url}cgi/some.sh?{length}")]);
        assert_eq!(output.status.code(), Some(code), "{length}");
        if code == 0 {
            assert_eq!(output.stdout.len(), length);
        }
    }
    let output = tried(&[&format!("{url}cgi/flood.sh")]);
    assert_eq!(output.status.code(), Some(18), "{}", shown(&output));
    assert!(output.stdout.len() <= limit);
    let reply = Client::of_program(served.address("http")).ask("HEAD", "/cgi/flood.sh", &[]);
    assert_eq!(reply.status, 502);
    is_well(&served);
    assert_eq!(processes("86411"), 0);
    let log = served.stop();
    assert_eq!(
        log.matches("ended, since it does not stop").count(),
        3,
        "{log}"
    );
}

#[test]
fn what_a_script_has_started_does_not_outlive_it() {
    let stage = Stage::new()
        .shell(
            "fork.sh",
            &format!("for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 86421 &) ; sleep 86421 & done; {HEAD}; echo forked"),
        )
        .shell(
            "deaf.sh",
            &format!("(trap '' TERM HUP; exec sleep 86422) & (trap '' TERM; {HEAD}; echo forked); kill -KILL $$"),
        );
    let served = stage.serve(&[]);
    let address = served.address("http");
    for _ in 0..5 {
        let reply = get(address, "/cgi/fork.sh", &[]);
        // None of them holds the answer up, though each has our pipe.
        assert_eq!(reply.body, b"forked\n");
    }
    let reply = tried(&[&format!("{}cgi/deaf.sh", served.url("http"))]);
    assert_eq!(reply.stdout, b"forked\n");
    assert_eq!(reply.status.code(), Some(18), "{}", shown(&reply));
    is_well(&served);
    for marker in ["86421", "86422"] {
        eventually("none is left", || processes(marker) == 0);
    }
    served.stop();
}

#[test]
fn a_daemon_that_holds_the_pipes_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid").display().to_string();
    let stage = Stage::new().shell(
        "daemon.sh",
        &format!(
            "setsid sh -c 'echo $$ >{file}; exec sleep 86471' & \
             while [ ! -s {file} ]; do :; done; {HEAD}; echo started"
        ),
    );
    let served = stage.serve(&[]);
    assert_eq!(
        get(served.address("http"), "/cgi/daemon.sh", &[]).body,
        b"started\n"
    );
    is_well(&served);
    let before = served.descriptors();
    let pid = std::fs::read_to_string(file).unwrap();
    // It left on purpose, and stays.
    assert_eq!(processes("86471"), 1);
    crate::common::run(std::process::Command::new("kill").arg(pid.trim()));
    eventually("it is ended", || processes("86471") == 0);
    assert!(served.descriptors() <= before);
    served.stop();
}

#[test]
fn one_that_crashes_is_told_of() {
    let stage = Stage::new()
        .shell("crash.sh", "kill -SEGV $$")
        .shell("middle.sh", &format!("{HEAD}; echo some; kill -SEGV $$"))
        .shell("sorry.sh", &format!("{HEAD}; echo all; exit 3"));
    let served = stage.serve(&[]);
    let address = served.address("http");
    let reply = get(address, "/cgi/crash.sh", &[]);
    assert_eq!(reply.status, 502);
    assert!(
        reply
            .body
            .ends_with(b"the program has crashed; it is in the log\n")
    );
    // Nobody must take some for all.
    let output = tried(&[&format!("{}cgi/middle.sh", served.url("http"))]);
    assert_eq!(output.status.code(), Some(18), "{}", shown(&output));
    assert_eq!(get(address, "/cgi/sorry.sh", &[]).body, b"all\n");
    is_well(&served);
    let log = served.stop();
    assert_eq!(
        log.matches("ended badly: signal: 11 (SIGSEGV)").count(),
        2,
        "{log}"
    );
    assert_eq!(
        log.matches("ended badly: exit status: 3").count(),
        1,
        "{log}"
    );
}

#[test]
fn as_many_run_as_may_and_others_come_again() {
    let stage = Stage::new().shell("wait.sh", &format!("{HEAD}; read line; echo $line"));
    let served = stage.serve(&["--cgi-max-running", "2"]);
    let address = served.address("http");
    // Whoever does not ask first has its body read before it is refused.
    let tried = || {
        let mut client = Client::of_program(address);
        let head = "POST /cgi/wait.sh HTTP/1.1\r\nHost: quay\r\nExpect: 100-continue";
        client.send(format!("{head}\r\nContent-Length: 3\r\n\r\n").as_bytes());
        match client.head().status {
            100 => {
                assert_eq!(client.head().status, 200);
                Some(client)
            }
            status => {
                assert_eq!(status, 503);
                None
            }
        }
    };
    let begin = || {
        let mut begun = None;
        eventually("there is room for another", || {
            begun = tried();
            begun.is_some()
        });
        begun.unwrap()
    };
    let mut one = begin();
    let two = begin();
    assert_eq!(children(&served), 2);
    for _ in 0..10 {
        let reply = get(address, "/cgi/wait.sh", &[]);
        assert_eq!((reply.status, reply.field("Retry-After")), (503, Some("1")));
    }
    one.send(b"go\n");
    let mut said = Vec::new();
    while one.chunk(&mut said).unwrap() {}
    assert_eq!(said, b"go\n");
    eventually("there is room for one", || {
        get(address, "/cgi/wait.sh", &[]).status == 200
    });
    // A client that leaves makes room as well.
    drop(two);
    let _all = [begin(), begin()];
    served.signal("KILL");
}

#[test]
fn a_client_that_leaves_ends_its_program() {
    let stage = Stage::new()
        .shell("silent.sh", "sleep 86431")
        .shell("begun.sh", &format!("{HEAD}; echo begun; sleep 86432"))
        .shell("deaf.sh", "sleep 86433")
        .shell("hearing.sh", "cat; sleep 86434");
    let served = stage.serve(&[]);
    let address = served.address("http");
    for (name, fields, body, marker) in [
        ("silent", "", "", "86431"),
        ("begun", "", "", "86432"),
        ("silent", "Content-Length: 2\r\n", "ab", "86431"),
        ("hearing", "Content-Length: 2\r\n", "ab", "86434"),
    ] {
        let mut client = Client::of_program(address);
        let head = format!("POST /cgi/{name}.sh HTTP/1.1\r\nHost: quay\r\n{fields}\r\n{body}");
        client.send(head.as_bytes());
        eventually("it runs", || processes(marker) == 1);
        drop(client);
        eventually("it is ended", || processes(marker) == 0);
    }
    // In the middle of its own body.
    let mut client = Client::of_program(address);
    client.send(b"POST /cgi/hearing.sh HTTP/1.1\r\nHost: quay\r\nContent-Length: 9\r\n\r\nab");
    eventually("it runs", || children(&served) == 1);
    drop(client);
    is_well(&served);
    served.stop();
}

#[test]
fn complaints_are_one_line_each_and_not_without_end() {
    let stage = Stage::new().shell(
        "complain.sh",
        &format!(
            "{HEAD}; printf 'forged\\033[2J\\r 来 \\377\\n' >&2; yes complaint | head -c 1000000 >&2; \
             printf 'the last' >&2"
        ),
    );
    let served = stage.serve(&[]);
    assert_eq!(
        get(served.address("http"), "/cgi/complain.sh", &[]).status,
        200
    );
    is_well(&served);
    let log = served.stop();
    assert!(log.contains(r"forged\u{1b}[2J\r 来 \xff"), "{log}");
    assert!(log.contains("it complains of more than is shown"));
    assert!(log.matches("complaint").count() < 10_000);
    assert!(!log.contains("the last"));
}

#[test]
fn stopping_the_server_ends_programs() {
    let stage = Stage::new().shell("hang.sh", "trap '' TERM; sleep 86441; sleep 86441");
    for model in ["cores", "threads", "forks"] {
        let served = stage.serve(&["--drain", "1", "--model", model]);
        let mut client = Client::of_program(served.address("http"));
        client.send(b"GET /cgi/hang.sh HTTP/1.1\r\nHost: quay\r\n\r\n");
        eventually("it runs", || processes("86441") == 1);
        let begun = Instant::now();
        served.stop();
        assert!(begun.elapsed() < PATIENCE / 2, "{model}");
        eventually("it is ended", || processes("86441") == 0);
    }
}

#[test]
fn the_time_is_over_also_for_those_whose_output_nobody_reads() {
    let stage = Stage::new()
        .shell(
            "long.sh",
            &format!("{HEAD}; exec head -c 60000453 /dev/zero"),
        )
        .shell("fine.sh", &format!("{HEAD}; echo fine"));
    let served = stage.serve(&["--cgi-timeout", "1", "--cgi-max-running", "2"]);
    let address = served.address("http");
    let lazy: Vec<_> = (0..2)
        .map(|_| {
            let mut client = Client::of_program(address);
            client.send(b"GET /cgi/long.sh HTTP/1.1\r\nHost: quay\r\n\r\n");
            client
        })
        .collect();
    eventually("they run", || processes("60000453") == 2);
    eventually("they are ended", || processes("60000453") == 0);
    assert_eq!(get(address, "/cgi/fine.sh", &[]).status, 200);
    drop(lazy);
    is_well(&served);
}

#[test]
fn a_body_that_had_to_be_collected_comes_from_the_same_client() {
    let stage = Stage::new().shell(
        "where.sh",
        &format!("{HEAD}; echo \"$SERVER_PORT $REMOTE_ADDR\""),
    );
    let served = stage.serve(&[]);
    let address = served.address("http");
    let mut client = Client::of_program(address);
    client.send(
        b"POST /cgi/where.sh HTTP/1.1\r\nHost: quay\r\nTransfer-Encoding: chunked\r\n\r\n\
          1\r\nx\r\n0\r\n\r\n",
    );
    let said = client.reply("POST").body;
    let expected = format!("{} 127.0.0.1\n", address.port());
    assert_eq!(String::from_utf8(said).unwrap(), expected);
}

#[test]
fn nothing_is_left_when_all_is_over() {
    let stage = Stage::new()
        .shell("fine.sh", &format!("{HEAD}; cat; echo fine"))
        .shell("fork.sh", &format!("sleep 86451 & {HEAD}; echo forked"))
        .shell("crash.sh", "kill -SEGV $$")
        .shell("flood.sh", &format!("{HEAD}; exec yes"))
        .shell("noise.sh", &format!("{HEAD}; yes x | head -c 50000 >&2"))
        .shell("hang.sh", "sleep 86452");
    let served = stage.serve(&[
        "--cgi-max-output",
        "1M",
        "--cgi-timeout",
        "1",
        "--log",
        "off",
    ]);
    let address = served.address("http");
    let all = |rounds: usize| {
        for _ in 0..rounds {
            for name in ["fine", "fork", "crash", "noise"] {
                get(address, &format!("/cgi/{name}.sh"), &[]);
            }
            tried(&[&format!("{}cgi/flood.sh", served.url("http"))]);
            let mut client = Client::of_program(address);
            client.send(b"GET /cgi/hang.sh HTTP/1.1\r\nHost: quay\r\n\r\n");
        }
        let mut last = Client::of_program(address);
        assert_eq!(last.ask("GET", "/cgi/hang.sh", &[]).status, 504);
        is_well(&served);
    };
    all(5);
    let settled = || (served.descriptors(), served.sockets());
    let before = settled();
    let memory = served.private_memory();
    all(40);
    eventually("no descriptor is left", || settled() <= before);
    eventually("none of theirs is left", || {
        processes("86451") + processes("86452") == 0
    });
    // As much as a few buffers of the pool.
    assert!(
        served.private_memory() < memory + 4096,
        "{memory} KiB before"
    );
    assert!(served.threads() < 600);
    served.stop();
}

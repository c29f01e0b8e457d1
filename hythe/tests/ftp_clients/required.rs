//! Where TLS is required, and where data connections must resume the session of
//! their control connection.

use std::fs;
use std::process::Output;

use super::common::shown;
use super::programs;
use super::table::{
    BASIC_FTP, CURL_TLS_1_2, CURL_TLS_1_3, FTPLIB_RESUMING, LFTP, Task, Visit, WGET, Way,
};
use super::{Place, Tls};

const REQUIRED: [&str; 5] = [
    "--tls-self-signed",
    "--ftp-tls",
    "required",
    "--ftp-tls-session",
    "required",
];

const EXPLICIT: Way = Way {
    tls: Tls::Explicit,
    active: false,
    ipv6: false,
};

const IMPLICIT: Way = Way {
    tls: Tls::Implicit,
    ..EXPLICIT
};

const PLAIN: Way = Way {
    tls: Tls::Never,
    ..EXPLICIT
};

#[test]
fn clients_that_resume_sessions_can_do_all() {
    let place = Place::with("127.0.0.1", &REQUIRED);
    let mut done = 0;
    for client in [
        CURL_TLS_1_2,
        CURL_TLS_1_3,
        LFTP,
        WGET,
        FTPLIB_RESUMING,
        BASIC_FTP,
    ] {
        client.does_all_of(&place, &[EXPLICIT, IMPLICIT], &mut done);
    }
    place.close();
}

/// A visit that is to be refused, and what the client says of that.
fn refused(place: &Place, way: Way, act: fn(&Visit) -> Output) -> String {
    let here = tempfile::tempdir().unwrap();
    let output = act(&Visit {
        task: Task::Rename,
        way,
        address: place.address(way.tls),
        trust: &place.certificate(),
        there: String::new(),
        here: here.path().to_owned(),
        files: Vec::new(),
        part: 0,
    });
    let left = fs::read_dir(place.share.path()).unwrap();
    assert_eq!(left.count(), 0, "{}", shown(&output));
    assert!(!output.status.success(), "{}", shown(&output));
    shown(&output)
}

#[test]
fn who_does_not_resume_the_session_is_told_522() {
    let place = Place::with("127.0.0.1", &REQUIRED);
    let here = tempfile::tempdir().unwrap();
    fs::create_dir(place.share.path().join("tree")).unwrap();
    for way in [EXPLICIT, IMPLICIT] {
        let output = programs::ftplib(&Visit {
            task: Task::Down,
            way,
            address: place.address(way.tls),
            trust: &place.certificate(),
            there: String::new(),
            here: here.path().to_owned(),
            files: Vec::new(),
            part: 0,
        });
        let said = shown(&output);
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains("522 The data connection must resume"),
            "{said}"
        );
    }
    let log = place.close();
    assert_eq!(log.matches(" MLSD /tree 522 0\n").count(), 2, "{log}");
}

#[test]
fn who_speaks_in_the_clear_is_told_522() {
    let place = Place::with("127.0.0.1", &["--tls-self-signed", "--ftp-tls", "required"]);
    let said = refused(&place, PLAIN, programs::ftplib);
    assert!(said.contains("522 Log in under TLS only"), "{said}");
    let said = refused(&place, PLAIN, programs::curl);
    assert!(said.contains("Access denied"), "{said}");
    let said = refused(&place, PLAIN, programs::wget);
    assert!(said.contains("refuses login"), "{said}");
    place.close();
}

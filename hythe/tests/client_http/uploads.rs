//! Uploads: tus to our own server, PUT to others.

use std::fs::{self, File};
use std::io::{Cursor, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::UNIX_EPOCH;

use hythe::client::{Begun, Content, HttpClient, Meter, Rate, Reason, Remote as _, Result, Upload};

use crate::common::{Served, content};
use crate::scripted::{Scripted, field, read_head, read_request};
use crate::{path, with};

const MODIFIED: i64 = 1_000_000_000;

/// A file with these bytes, from `offset` to its end.
fn file(bytes: &[u8], offset: u64) -> Content {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Content::File(Arc::new(file), offset..bytes.len() as u64)
}

fn upload(bytes: &[u8]) -> Upload {
    Upload {
        length: Some(bytes.len() as u64),
        modified: Some(MODIFIED),
    }
}

async fn send(client: &mut HttpClient, at: &str, bytes: &[u8]) -> Result<Begun> {
    let at = path(at);
    let begun = client.begin_upload(&at, &upload(bytes), None).await?;
    let content = file(bytes, begun.offset);
    client.send(&at, &begun, content, &Meter::default()).await?;
    Ok(begun)
}

fn writable() -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::http(folder.path(), &["--allow", "write", "--log", "off"]);
    (folder, served)
}

#[test]
fn files_of_every_length_arrive_with_their_times() {
    let (folder, served) = writable();
    fs::create_dir(folder.path().join("in")).unwrap();
    with(served.url("http"), async |client| {
        for (name, length) in [("a b#", 0), ("来", 1), ("c", 100_000), ("d", 5_000_000)] {
            let bytes = content(length);
            let at = path("/in").join(name.as_bytes());
            let begun = send(client, at.encoded(), &bytes).await.unwrap();
            assert!(begun.token.is_some());
            let local = folder.path().join("in").join(name);
            assert!(fs::read(&local).unwrap() == bytes, "{name}");
            let modified = File::open(&local).unwrap().metadata().unwrap().modified();
            let modified = modified.unwrap().duration_since(UNIX_EPOCH).unwrap();
            assert_eq!(modified.as_secs(), MODIFIED as u64);
            // And once more, in its place.
            send(client, at.encoded(), b"anew").await.unwrap();
            assert_eq!(fs::read(&local).unwrap(), b"anew");
        }
    });
}

#[test]
fn a_pipe_arrives_though_nobody_knows_its_length() {
    let (folder, served) = writable();
    let bytes = content(1_000_000);
    with(served.url("http"), async |client| {
        for bytes in [&bytes[..], b""] {
            let at = path("/pipe");
            let begun = client
                .begin_upload(&at, &Upload::default(), None)
                .await
                .unwrap();
            assert_eq!((begun.offset, begun.length), (0, None));
            let pipe = Content::Pipe(Box::new(Cursor::new(bytes.to_vec())));
            let meter = Meter::default();
            client.send(&at, &begun, pipe, &meter).await.unwrap();
            assert_eq!(meter.moved(), bytes.len() as u64);
            assert!(fs::read(folder.path().join("pipe")).unwrap() == bytes);
        }
    });
}

#[test]
fn a_rate_is_held_in_pieces() {
    let (folder, served) = writable();
    let bytes = content(60_000);
    with(served.url("http"), async |client| {
        let at = path("/slow");
        let begun = client
            .begin_upload(&at, &upload(&bytes), None)
            .await
            .unwrap();
        let meter = Meter::new(Some(Arc::new(Rate::new(600_000))));
        client
            .send(&at, &begun, file(&bytes, 0), &meter)
            .await
            .unwrap();
        assert_eq!(meter.moved(), 60_000);
        assert!(fs::read(folder.path().join("slow")).unwrap() == bytes);
    });
}

/// Passes on what is sent to a server, on the first connection only so much.
fn relay(server: SocketAddr, cut_after: u64) -> Scripted {
    Scripted::with(8, move |index, stream, _| {
        let up = TcpStream::connect(server).unwrap();
        let mut down = stream.get_ref().try_clone().unwrap();
        let from = up.try_clone().unwrap();
        let back = thread::spawn(move || {
            std::io::copy(&mut &from, &mut down).ok();
            down.shutdown(Shutdown::Both).ok();
        });
        let limit = if index == 0 { cut_after } else { u64::MAX };
        std::io::copy(&mut stream.take(limit), &mut &up).ok();
        up.shutdown(Shutdown::Write).ok();
        back.join().unwrap();
        stream.get_ref().shutdown(Shutdown::Both).ok();
    })
}

#[test]
fn an_upload_goes_on_where_its_connection_broke() {
    let (folder, served) = writable();
    let bytes = content(8_000_000);
    // Anywhere will do.
    let cut = 1_000_000 + u64::from(std::process::id()) * 4_099 % 5_000_000;
    let relay = relay(served.address("http"), cut);
    let at = path("/a.bin");
    let begun = with(&relay.url("/"), async |client| {
        let begun = client
            .begin_upload(&at, &upload(&bytes), None)
            .await
            .unwrap();
        let sent = client
            .send(&at, &begun, file(&bytes, 0), &Meter::default())
            .await;
        assert_eq!(sent.unwrap_err().reason, Reason::Lost);
        begun
    });
    with(&relay.url("/"), async |client| {
        let token = begun.token.as_deref();
        let again = loop {
            match client.begin_upload(&at, &upload(&bytes), token).await {
                Ok(again) => break again,
                // The server has yet to notice that the first is gone.
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
        };
        assert_eq!(again.token, begun.token);
        assert!(again.offset > 0 && again.offset < cut, "{again:?}");
        let content = file(&bytes, again.offset);
        client
            .send(&at, &again, content, &Meter::default())
            .await
            .unwrap();
        assert!(fs::read(folder.path().join("a.bin")).unwrap() == bytes);
        // A token that leads nowhere any more, or never did, begins anew.
        for token in [
            "/.hythe/uploads/nonsense",
            "http://evil/x",
            "gopher://x/",
            "",
        ] {
            let begun = client
                .begin_upload(&at, &upload(&bytes), Some(token))
                .await
                .unwrap();
            assert_eq!(begun.offset, 0, "{token}");
        }
    });
}

#[test]
fn who_may_not_upload_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::http(folder.path(), &["--log", "off"]);
    with(served.url("http"), async |client| {
        for length in [5, 5_000_000] {
            let error = send(client, "/a", &content(length)).await.unwrap_err();
            assert_eq!(error.reason, Reason::Unsupported, "{error}");
        }
    });
}

#[test]
fn a_folder_that_is_not_there_or_in_the_way_is_told() {
    let (folder, served) = writable();
    fs::create_dir(folder.path().join("sub")).unwrap();
    with(served.url("http"), async |client| {
        for (at, reason) in [("/no/such", Reason::NotFound), ("/sub", Reason::Exists)] {
            let error = send(client, at, b"river").await.unwrap_err();
            assert_eq!(error.reason, reason, "{at}: {error}");
        }
    });
}

// --- PUT ---

const NO_TUS: &[u8] = b"HTTP/1.1 204 No Content\r\nAllow: PUT\r\n\r\n";
const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

fn answered(answer: &[u8], bytes: &[u8]) -> (Vec<String>, Result<Begun>) {
    let server = Scripted::new(vec![vec![NO_TUS.to_vec(), answer.to_vec()]]);
    let result = with(&server.url("/"), async |client| {
        send(client, "/x/a", bytes).await
    });
    (server.seen(), result)
}

#[test]
fn other_servers_get_a_put() {
    let (seen, begun) = answered(CREATED, b"river");
    assert_eq!(begun.unwrap().token, None);
    assert!(seen[0].starts_with("OPTIONS /x/ HTTP/1.1\r\n"));
    assert!(seen[1].starts_with("PUT /x/a HTTP/1.1\r\n") && seen[1].ends_with("\r\n\r\nriver"));
    assert_eq!(field(&seen[1], "Content-Length"), Some("5"));
    assert_eq!(field(&seen[1], "X-OC-Mtime"), Some("1000000000"));
    assert_eq!(field(&seen[1], "Expect"), None);

    let server = Scripted::new(vec![vec![NO_TUS.to_vec(), CREATED.to_vec()]]);
    with(&server.url("/"), async |client| {
        let at = path("/a");
        let begun = client
            .begin_upload(&at, &Upload::default(), None)
            .await
            .unwrap();
        let pipe = Content::Pipe(Box::new(Cursor::new(b"river")));
        client
            .send(&at, &begun, pipe, &Meter::default())
            .await
            .unwrap();
    });
    let seen = server.seen();
    assert_eq!(field(&seen[1], "Transfer-Encoding"), Some("chunked"));
    assert!(seen[1].ends_with("\r\n\r\nriver"), "{seen:?}");
}

#[test]
fn the_answer_decides_what_became_of_it() {
    for (status, reason) in [
        ("507 Full", Reason::NoSpace),
        ("413 Large", Reason::NoSpace),
        ("412 There", Reason::Exists),
        ("409 Conflict", Reason::Exists),
        ("405 No", Reason::Unsupported),
        ("501 No", Reason::Unsupported),
        ("403 No", Reason::NotAllowed),
        ("302 Found\r\nLocation: /b", Reason::Protocol),
        (
            "308 Moved\r\nLocation: http://127.0.0.1:1/b",
            Reason::Protocol,
        ),
        ("500 Oops", Reason::Protocol),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let (_, result) = answered(answer.as_bytes(), b"river");
        let error = result.unwrap_err();
        assert_eq!(error.reason, reason, "{status}: {error}");
    }
    let (_, result) = answered(b"", b"river");
    assert_eq!(result.unwrap_err().reason, Reason::Lost);
}

#[test]
fn a_put_follows_on_the_same_server() {
    let moved = b"HTTP/1.1 307 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n".to_vec();
    let server = Scripted::new(vec![vec![NO_TUS.to_vec(), moved, CREATED.to_vec()]]);
    with(&server.url("/"), async |client| {
        send(client, "/a", b"river").await.unwrap()
    });
    let seen = server.seen();
    assert!(
        seen[2].starts_with("PUT /b ") && seen[2].ends_with("river"),
        "{seen:?}"
    );
}

#[test]
fn a_large_body_waits_for_the_word() {
    let bytes = content(2_000_000);
    for answer in [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
        // This one knows nothing of it.
        b"",
    ] {
        let server = Scripted::with(1, move |_, stream, seen| {
            seen(read_request(stream).unwrap());
            stream.get_mut().write_all(NO_TUS).unwrap();
            let head = read_head(stream).unwrap();
            assert_eq!(field(&head, "Expect"), Some("100-continue"));
            stream.get_mut().write_all(answer).unwrap();
            let mut body = vec![0; 2_000_000];
            stream.read_exact(&mut body).unwrap();
            assert!(body == content(2_000_000));
            seen(head);
            stream.get_mut().write_all(CREATED).unwrap();
        });
        with(&server.url("/"), async |client| {
            send(client, "/a", &bytes).await.unwrap()
        });
        assert_eq!(server.seen().len(), 2);
    }
}

#[test]
fn a_server_that_knows_only_to_refuse_waiting_is_asked_again() {
    let server = Scripted::with(2, |index, stream, seen| {
        if index == 0 {
            read_request(stream);
            stream.get_mut().write_all(NO_TUS).unwrap();
            seen(read_head(stream).unwrap());
            let answer = b"HTTP/1.1 417 What\r\nContent-Length: 0\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
        } else {
            seen(read_request(stream).unwrap());
            stream.get_mut().write_all(CREATED).unwrap();
        }
    });
    let bytes = content(2_000_000);
    with(&server.url("/"), async |client| {
        send(client, "/a", &bytes).await.unwrap()
    });
    assert_eq!(field(&server.seen()[1], "Expect"), None);
}

#[test]
fn a_refusal_in_the_middle_ends_the_sending() {
    // In reply to the head, to some of the body, and with the connection cut.
    for before in [0, 1_200_000, 5_000_000] {
        let server = Scripted::with(1, move |_, stream, _| {
            read_request(stream);
            stream.get_mut().write_all(NO_TUS).unwrap();
            read_head(stream).unwrap();
            if before > 0 {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .unwrap();
                stream.read_exact(&mut vec![0; before]).unwrap();
            }
            let answer = b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
        });
        let bytes = content(50_000_000);
        with(&server.url("/"), async |client| {
            let error = send(client, "/a", &bytes).await.unwrap_err();
            assert_eq!(error.reason, Reason::NoSpace, "{before}: {error}");
        });
    }
}

#[test]
fn a_file_that_shrinks_is_our_own_fault() {
    let server = Scripted::with(1, |_, stream, _| {
        read_request(stream);
        stream.get_mut().write_all(NO_TUS).unwrap();
        read_head(stream);
        stream.read_to_end(&mut Vec::new()).ok();
    });
    with(&server.url("/"), async |client| {
        let at = path("/a");
        let begun = client
            .begin_upload(&at, &upload(b"river"), None)
            .await
            .unwrap();
        let Content::File(file, _) = file(b"riv", 0) else {
            unreachable!()
        };
        let content = Content::File(file, 0..5);
        let error = client
            .send(&at, &begun, content, &Meter::default())
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::Local, "{error}");
    });
}

#[test]
fn an_upload_is_never_sent_to_another_server() {
    let offers = b"HTTP/1.1 204 Yes\r\nTus-Version: 0.2.2, 1.0.0\r\n\r\n".to_vec();
    let other = Scripted::one(CREATED);
    let created = format!(
        "HTTP/1.1 201 Created\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        other.url("/files/1")
    );
    let server = Scripted::new(vec![vec![offers, created.into()]]);
    with(&server.url("/"), async |client| {
        let error = send(client, "/a", b"river").await.unwrap_err();
        assert_eq!(error.reason, Reason::Protocol, "{error}");
    });
    let seen = server.seen();
    assert_eq!(field(&seen[1], "Upload-Length"), Some("5"));
    assert_eq!(
        field(&seen[1], "Upload-Metadata"),
        Some("filename YQ==,lastModified MTAwMDAwMDAwMDAwMA==")
    );
    assert_eq!(other.seen().len(), 0);
}

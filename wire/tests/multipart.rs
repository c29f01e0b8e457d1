//! Forms with files, whole and in pieces.

mod tables;

use hythe_wire::http::multipart::{Event, MAX_PART_HEAD};
use hythe_wire::http::{Error, Multipart};
use proptest::prelude::*;

type Part = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>);

/// The parts of a form that comes in these pieces, and whether it was whole.
fn read<'i>(pieces: impl IntoIterator<Item = &'i [u8]>) -> Result<(Vec<Part>, bool), Error> {
    let mut form = Multipart::new(b"multipart/form-data; boundary=b")?;
    let mut parts: Vec<Part> = Vec::new();
    let (mut open, mut done) = (false, false);
    for mut piece in pieces {
        while let Some(event) = form.next(&mut piece)? {
            assert!(!done, "{event:?} after the end");
            match event {
                Event::Part(head) => {
                    assert!(!open);
                    open = true;
                    parts.push((head.name, head.filename, Vec::new()));
                }
                Event::Data(data) => {
                    assert!(open && !data.is_empty());
                    parts.last_mut().unwrap().2.extend_from_slice(data);
                }
                Event::End => {
                    assert!(open);
                    open = false;
                }
                Event::Done => {
                    assert!(!open);
                    done = true;
                }
            }
        }
        assert!(piece.is_empty(), "all is dealt with");
    }
    assert_eq!(form.is_done(), done);
    Ok((parts, done))
}

#[test]
fn forms_are_read_however_they_are_cut() {
    for (form, expected) in tables::FORMS {
        let expected: Vec<Part> = expected
            .iter()
            .map(|(name, file, content)| {
                let owned = |text: &Option<&[u8]>| text.map(<[u8]>::to_vec);
                (owned(name), owned(file), content.to_vec())
            })
            .collect();
        let expected = Ok((expected, true));
        let shown = String::from_utf8_lossy(form);
        assert_eq!(read([*form]), expected, "{shown}");
        assert_eq!(read(form.chunks(1)), expected, "{shown}");
        for cut in 0..form.len() {
            let (before, after) = form.split_at(cut);
            assert_eq!(read([before, after]), expected, "{shown} at {cut}");
        }
    }
}

#[test]
fn a_form_that_is_cut_short_is_not_done() {
    for (form, _) in tables::FORMS {
        let end = form
            .windows(5)
            .rposition(|window| window == b"--b--")
            .unwrap();
        for cut in 0..end + 4 {
            let (_, done) = read([&form[..cut]]).unwrap();
            assert!(!done);
        }
    }
}

#[test]
fn malformed_forms_are_refused() {
    let head = |head: &str| format!("--b\r\n{head}\r\n\r\n\r\n--b--").into_bytes();
    for (form, status) in [
        (b"--bx\r\n".to_vec(), 400),
        (b"--b-\r\n".to_vec(), 400),
        (b"--b\n".to_vec(), 400),
        (b"--b\r\r".to_vec(), 400),
        ([b"--b", &b" ".repeat(100)[..]].concat(), 400),
        (head("no field"), 400),
        (
            head("Content-Disposition: form-data\r\nContent-Disposition: form-data"),
            400,
        ),
        (head(&"A: b\r\n".repeat(20)), 400),
        (
            [b"--b\r\nA: ", &b"a".repeat(MAX_PART_HEAD)[..]].concat(),
            431,
        ),
    ] {
        let shown = String::from_utf8_lossy(&form[..form.len().min(80)]).into_owned();
        let found = read([form.as_slice()]).unwrap_err().status;
        assert_eq!(found, status, "{shown}");
        assert_eq!(read(form.chunks(1)).unwrap_err().status, status, "{shown}");
    }
}

#[test]
fn the_boundary_is_what_the_rfc_allows() {
    let longest = "a".repeat(70);
    for boundary in [
        "b",
        "\"b c\"",
        "'()+_,-./:=?",
        "----WebKitFormBoundaryX",
        &longest,
    ] {
        let value = format!("Multipart/Form-Data; charset=x; Boundary={boundary}");
        let made = Multipart::new(value.as_bytes());
        assert!(made.is_ok(), "{boundary}");
    }
    let too_long = format!("multipart/form-data; boundary={}", "a".repeat(71));
    for (value, status) in [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/form-data; boundary=\"\"", 400),
        ("multipart/form-data; boundary=\"b \"", 400),
        ("multipart/form-data; boundary=a\u{e9}", 400),
        ("multipart/form-data; boundary=\"a\\\"b\"", 400),
        (too_long.as_str(), 400),
        ("multipart/mixed; boundary=b", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ] {
        let error = Multipart::new(value.as_bytes()).unwrap_err();
        assert_eq!(error.status, status, "{value}");
    }
}

proptest! {
    #[test]
    fn any_content_comes_back(
        contents in prop::collection::vec(
            prop::collection::vec(prop::sample::select(b"\r\n-bx".to_vec()), 0..40),
            0..4,
        ),
        piece in 1usize..30,
    ) {
        let boundary = b"\r\n--b";
        let holds = |content: &Vec<u8>| {
            let preceded = [b"\n\n", content.as_slice()].concat();
            preceded.windows(5).any(|window| window == boundary)
        };
        prop_assume!(!contents.iter().any(holds));
        let mut form = Vec::new();
        for content in &contents {
            form.extend_from_slice(b"--b\r\n\r\n");
            form.extend_from_slice(content);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"--b--");
        let expected: Vec<Part> = contents.into_iter().map(|c| (None, None, c)).collect();
        prop_assert_eq!(read(form.chunks(piece)), Ok((expected, true)));
    }

    #[test]
    fn no_input_is_read_differently_in_pieces(
        form in prop::collection::vec(prop::sample::select(b"\r\n-b: ;\"".to_vec()), 0..80),
        piece in 1usize..20,
    ) {
        prop_assert_eq!(read([form.as_slice()]), read(form.chunks(piece)));
    }
}

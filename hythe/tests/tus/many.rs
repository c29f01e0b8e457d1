//! How many unfinished uploads there may be: of one account, of visitors
//! without one, of all.

use hythe::share::{UPLOADS_OF_ALL, UPLOADS_OF_ONE};

use super::common::people::{People, basic};
use super::*;

/// Begins uploads of one byte on one connection: the last reply.
fn begin_many(client: &mut Client, fields: &[&str], count: usize) -> Reply {
    let mut last = None;
    for _ in 0..count {
        let fields = [&["Upload-Length: 1"], fields].concat();
        client.send(&request("POST", "/", &fields, b""));
        let reply = client.reply("POST");
        if reply.status != 201 {
            return reply;
        }
        last = Some(reply);
    }
    last.expect("at least one")
}

/// How many unfinished uploads there are.
fn unfinished(share: &Path) -> usize {
    let names = fs::read_dir(share.join(".hythe/uploads")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".json")).count()
}

#[test]
fn of_one_account_and_of_strangers_there_are_so_many_and_no_more() {
    let people = People::new(&["--allow", "write"]);
    let bob = basic("bob");
    let mut client = Client::new(people.address());
    let mine: [&str; 1] = [&bob];
    let last = begin_many(&mut client, &mine, UPLOADS_OF_ONE - 1);
    // Below, at, above.
    assert_eq!(last.status, 201, "{}", last.text());
    assert_eq!(begin_many(&mut client, &mine, 1).status, 201);
    let refused = begin_many(&mut client, &mine, 1);
    assert_eq!(refused.status, 507);
    assert!(
        refused.text().contains("1,000 unfinished"),
        "{}",
        refused.text()
    );
    assert_eq!(unfinished(people.share()), UPLOADS_OF_ONE);

    // Others are not in it, strangers have a thousand together.
    assert_eq!(begin_many(&mut client, &[&basic("ann")], 1).status, 201);
    let mut stranger = Client::new(people.address());
    let last = begin_many(&mut stranger, &[], UPLOADS_OF_ONE);
    assert_eq!(last.status, 201, "{}", last.text());
    let refused = begin_many(&mut stranger, &[], 1);
    assert_eq!(refused.status, 507);
    assert!(
        refused.text().contains("without an account"),
        "{}",
        refused.text()
    );

    // The first bytes along with it change nothing, and nothing is left of it.
    let before = unfinished(people.share());
    let fields = [BYTES, "Upload-Length: 5"];
    assert_eq!(
        ask(people.address(), "POST", "/", &fields, b"12345").status,
        507
    );
    assert_eq!(unfinished(people.share()), before);

    // One finished, or one removed, makes room for one.
    let at = location(&last);
    let done = ask(
        people.address(),
        "PATCH",
        &at,
        &[BYTES, "Upload-Offset: 0"],
        b"1",
    );
    assert_eq!(done.status, 204, "{}", done.text());
    let last = begin_many(&mut stranger, &[], 1);
    let gone = ask(people.address(), "DELETE", &location(&last), &[], b"");
    assert_eq!(gone.status, 204);
    assert_eq!(begin_many(&mut stranger, &[], 1).status, 201);
    assert_eq!(begin_many(&mut stranger, &[], 1).status, 507);

    // Another server of the same folder counts the same.
    let again = people.again();
    let mut client = Client::new(again.address("http"));
    assert_eq!(begin_many(&mut client, &mine, 1).status, 507);
}

#[test]
fn whoever_has_all_that_may_be_can_still_join_the_parts() {
    let people = People::new(&[]);
    let bob = basic("bob");
    let mine = ["Upload-Concat: partial", &bob];
    let mut client = Client::new(people.address());
    let first = location(&begin_many(&mut client, &mine, 1));
    let last = begin_many(&mut client, &mine, UPLOADS_OF_ONE - 1);
    let second = location(&last);
    for (at, body) in [(&first, b"1"), (&second, b"2")] {
        let fields = [BYTES, "Upload-Offset: 0", &bob];
        assert_eq!(
            ask(people.address(), "PATCH", at, &fields, body).status,
            204
        );
    }
    assert_eq!(begin_many(&mut client, &mine, 1).status, 507);
    let concat = format!("Upload-Concat: final;{first} {second}");
    let name = filename("joined");
    let joined = ask(people.address(), "POST", "/", &[&concat, &name, &bob], b"");
    assert_eq!(joined.status, 201, "{}", joined.text());
    assert_eq!(fs::read(people.share().join("joined")).unwrap(), b"12");
    assert_eq!(begin_many(&mut client, &mine, 2).status, 201);
    assert_eq!(begin_many(&mut client, &mine, 1).status, 507);
}

#[test]
fn of_all_there_are_so_many_and_no_more() {
    let people = People::new(&["--allow", "write"]);
    let uploads = people.share().join(".hythe/uploads");
    fs::create_dir_all(&uploads).unwrap();
    // What cannot be understood is somebody's all the same.
    for number in 0..UPLOADS_OF_ALL - 2 {
        fs::write(uploads.join(format!("{number:032x}.json")), "").unwrap();
    }
    let mut client = Client::new(people.address());
    let bob = basic("bob");
    assert_eq!(begin_many(&mut client, &[&bob], 1).status, 201);
    assert_eq!(begin_many(&mut client, &[], 1).status, 201);
    for fields in [&[&*bob][..], &[]] {
        let refused = begin_many(&mut client, fields, 1);
        assert_eq!(refused.status, 507);
        assert!(
            refused.text().contains("10,000 unfinished"),
            "{}",
            refused.text()
        );
    }
    fs::remove_file(uploads.join(format!("{:032x}.json", 0))).unwrap();
    assert_eq!(begin_many(&mut client, &[], 1).status, 201);
    assert_eq!(begin_many(&mut client, &[], 1).status, 507);
}

#[test]
fn what_was_promised_is_known_without_reading_all_of_it_again() {
    let people = People::new(&[]);
    people.quota("bob", "1000");
    let bob = basic("bob");
    let mut client = Client::new(people.address());
    let mine: [&str; 1] = [&bob];
    assert_eq!(begin_many(&mut client, &mine, 600).status, 201);
    let opened = || reads(&people.served);
    let before = opened();
    assert_eq!(begin_many(&mut client, &mine, 100).status, 201);
    // Read and parsed each time it would be 65,000 files, with two calls each.
    let calls = opened() - before;
    assert!(calls < 20_000, "{calls} calls of read for 100 uploads");
    // A thousand bytes were promised to seven hundred of one byte and this.
    let more = |length: usize| {
        let length = format!("Upload-Length: {length}");
        ask(people.address(), "POST", "/", &[&length, &bob], b"")
    };
    assert_eq!(more(301).status, 507);
    let last = more(300);
    assert_eq!(more(1).status, 507);
    let gone = ask(people.address(), "DELETE", &location(&last), &[&bob], b"");
    assert_eq!(gone.status, 204);
    // Of unknown length, it is promised as much as has come.
    let deferred = ask(
        people.address(),
        "POST",
        "/",
        &["Upload-Defer-Length: 1", &bob],
        b"",
    );
    let at = location(&deferred);
    assert_eq!(more(300).status, 201);
    let patch = |fields: &[&str], body: &[u8]| {
        let fields = [&[BYTES, "Upload-Offset: 0", &bob], fields].concat();
        ask(people.address(), "PATCH", &at, &fields, body).status
    };
    assert_eq!(patch(&[], b"1"), 507);
    assert_eq!(patch(&["Upload-Length: 1"], b"1"), 507);
}

/// How often a server has called `read(2)` and its like.
fn reads(served: &Served) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", served.child.id())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("syscr: "));
    line.unwrap().parse().unwrap()
}

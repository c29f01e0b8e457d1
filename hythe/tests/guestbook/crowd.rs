//! A crowd: wrk, whose every acknowledged entry must be there.

use std::collections::HashSet;

use super::*;

#[test]
fn no_entry_of_a_crowd_is_lost() {
    let book = Guestbook::without_accounts();
    book.fill(100);
    let visitor = Visitor::new(book.address);
    let folder = book.folder.path().join("written");
    std::fs::create_dir(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guestbook/load.lua");
    let cookie = visitor.cookie();
    let mut wrk = tool("wrk");
    wrk.args(["-c", "64", "-t", "2", "-d", "5s", "--timeout", "30s", "-s"])
        .arg(script);
    wrk.arg(book.url("/")).arg("--");
    wrk.args([cookie.strip_prefix("Cookie: ").unwrap(), &visitor.token]);
    let output = wrk.arg(&folder).stdin(Stdio::null()).output().unwrap();
    let said = shown(&output);
    assert!(output.status.success(), "{said}");

    let line = said.lines().find_map(|line| line.strip_prefix("requests "));
    let (requests, errors) = line.unwrap().split_once(" errors ").unwrap();
    assert_eq!(errors, "0", "{said}");
    let mut acknowledged = HashSet::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        for id in std::fs::read_to_string(file.unwrap().path())
            .unwrap()
            .lines()
        {
            assert!(acknowledged.insert(id.parse().unwrap()), "{id} twice");
        }
    }
    println!("{requests} requests, {} entries", acknowledged.len());
    let requests: usize = requests.parse().unwrap();
    // One of ten; at the end some are on their way.
    assert!(
        acknowledged.len() + 64 >= requests / 10 && !acknowledged.is_empty(),
        "{said}"
    );

    let db = book.database();
    let mut statement = db.prepare("SELECT id FROM entries WHERE id > 100").unwrap();
    let there: HashSet<i64> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(there.len() <= acknowledged.len() + 64);
    // And each is what it was sent as.
    let odd = "SELECT count(*) FROM entries WHERE id > 100 AND text NOT LIKE '第 %'";
    let odd: i64 = db.query_row(odd, [], |row| row.get(0)).unwrap();
    assert_eq!(odd, 0);
}

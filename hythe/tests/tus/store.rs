//! The store as a library: whose uploads they are, and how much they may hold.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hythe::checksum::Algorithm;
use hythe::share::{
    Access, Act, Check, Creation, Existing, Ledger, Notes, Owned, RelPath, Rules, Share,
    UploadError, UploadId, View, Visitor,
};

/// Books in which everybody has room for this much.
#[derive(Debug)]
struct Books {
    room: AtomicU64,
}

impl Ledger for Books {
    fn room(&self, _account: &str) -> io::Result<Option<u64>> {
        Ok(Some(self.room.load(Ordering::SeqCst)))
    }

    fn stored(&self, _visitor: &Visitor, _path: &RelPath, bytes: u64) -> io::Result<Option<Owned>> {
        let take = |room: u64| room.checked_sub(bytes);
        let taken = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        taken
            .map(|_| None)
            .map_err(|_| io::ErrorKind::QuotaExceeded.into())
    }

    fn undo(&self, _: &Visitor, _: &RelPath, _: Option<Owned>) -> io::Result<()> {
        Ok(())
    }

    fn moved(&self, _from: &RelPath, _to: &RelPath) -> io::Result<()> {
        Ok(())
    }

    fn removed(&self, _path: &RelPath) -> io::Result<()> {
        Ok(())
    }

    fn audit(&self, _visitor: &Visitor, _act: Act, _path: &RelPath, _detail: &str) {}
}

fn share(folder: &Path, room: u64) -> (Share, Arc<Books>) {
    let books = Arc::new(Books {
        room: AtomicU64::new(room),
    });
    let rules = Rules {
        ledger: Arc::clone(&books) as Arc<dyn Ledger>,
        ..Rules::default()
    };
    (Share::open(folder).unwrap().with_rules(rules), books)
}

fn view(share: &Share, name: Option<&str>) -> View {
    let visitor = Visitor {
        account: name.map(Into::into),
        ..Visitor::LOCAL
    };
    share.view_of(Access::Write, visitor)
}

fn creation(name: &str, length: Option<u64>) -> Creation {
    Creation {
        folder: RelPath::root(),
        target: Some(RelPath::root().join(name.as_bytes()).unwrap()),
        length,
        existing: Existing::Replace,
        modified: None,
        partial: false,
        notes: Notes::default(),
    }
}

fn append(view: &View, id: UploadId, offset: u64, bytes: &[u8]) -> Result<u64, UploadError> {
    let mut appending = view.append_upload(id, offset, Some(bytes.len() as u64), None, None)?;
    appending.write(bytes)?;
    Ok(appending.finish()?.offset)
}

fn kind<T: std::fmt::Debug>(result: Result<T, UploadError>) -> io::ErrorKind {
    match result {
        Err(UploadError::Disk(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_but_the_owner_knows_of_an_upload() {
    let folder = tempfile::tempdir().unwrap();
    let (share, _) = share(folder.path(), 1000);
    let anna = view(&share, Some("anna"));
    let home = share
        .below(&RelPath::root().join(b"anna").unwrap())
        .unwrap();
    let others = [
        view(&share, Some("ben")),
        view(&share, None),
        view(&home, Some("anna")),
        share.view_of(Access::Admin, view(&share, Some("ben")).visitor().clone()),
    ];
    let id = anna.create_upload(&creation("a", Some(6))).unwrap();
    let mut writing = anna.append_upload(id, 0, Some(3), None, None).unwrap();
    writing.write(b"ab").unwrap();
    let mut part = creation("part", Some(1));
    part.partial = true;
    let part_id = anna.create_upload(&part).unwrap();
    append(&anna, part_id, 0, b"p").unwrap();
    for other in &others {
        assert_eq!(kind(other.upload(id)), io::ErrorKind::NotFound);
        assert_eq!(kind(append(other, id, 2, b"x")), io::ErrorKind::NotFound);
        assert_eq!(kind(other.terminate_upload(id)), io::ErrorKind::NotFound);
        let joined = other.join_uploads(&creation("j", None), &[part_id]);
        assert_eq!(kind(joined), io::ErrorKind::NotFound);
    }
    // They did not even disturb.
    writing.write(b"c").unwrap();
    assert_eq!(writing.finish().unwrap().offset, 3);
    assert_eq!(append(&anna, id, 3, b"def").unwrap(), 6);
    for other in &others {
        assert_eq!(kind(other.upload(id)), io::ErrorKind::NotFound);
    }
    assert_eq!(anna.upload(id).unwrap().offset, 6);
    // Of a stranger's upload, the id is the right to it.
    let stranger = view(&share, None);
    let id = stranger.create_upload(&creation("s", Some(1))).unwrap();
    assert_eq!(kind(anna.upload(id)), io::ErrorKind::NotFound);
    assert_eq!(view(&share, None).upload(id).unwrap().offset, 0);
    // Who may no longer upload can't go on.
    let reader = share.view_of(Access::Read, anna.visitor().clone());
    let id = anna.create_upload(&creation("b", Some(1))).unwrap();
    assert_eq!(kind(reader.upload(id)), io::ErrorKind::PermissionDenied);
    assert_eq!(
        kind(append(&reader, id, 0, b"x")),
        io::ErrorKind::PermissionDenied
    );
}

#[test]
fn an_upload_into_a_home_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let (share, _) = share(folder.path(), 1000);
    let home = share
        .below(&RelPath::root().join(b"anna").unwrap())
        .unwrap();
    let anna = view(&home, Some("anna"));
    let id = anna.create_upload(&creation("a", Some(1))).unwrap();
    assert_eq!(append(&anna, id, 0, b"x").unwrap(), 1);
    let path = anna.upload(id).unwrap().finished.unwrap();
    assert_eq!(path.as_bytes(), b"a");
    assert_eq!(std::fs::read(folder.path().join("anna/a")).unwrap(), b"x");
    assert!(!folder.path().join("anna/.hythe").exists());
}

#[test]
fn unfinished_uploads_count_toward_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let (share, books) = share(folder.path(), 100);
    let anna = view(&share, Some("anna"));
    let over = |result| assert_eq!(kind(result), io::ErrorKind::QuotaExceeded);
    over(anna.create_upload(&creation("a", Some(101))).map(drop));
    let first = anna.create_upload(&creation("a", Some(60))).unwrap();
    over(anna.create_upload(&creation("b", Some(41))).map(drop));
    // Another's are another's.
    let ben = view(&share, Some("ben"));
    let bens = ben.create_upload(&creation("c", Some(100))).unwrap();
    ben.terminate_upload(bens).unwrap();
    let second = anna.create_upload(&creation("b", Some(40))).unwrap();
    over(anna.create_upload(&creation("c", Some(1))).map(drop));
    anna.terminate_upload(first).unwrap();
    // Of unknown length, as it grows.
    let third = anna.create_upload(&creation("c", None)).unwrap();
    assert_eq!(append(&anna, third, 0, &[0; 50]).unwrap(), 50);
    over(append(&anna, third, 50, &[0; 11]).map(drop));
    let mut unknown = anna.append_upload(third, 50, None, None, None).unwrap();
    unknown.write(&[0; 9]).unwrap();
    over(unknown.write(&[0; 2]));
    drop(unknown);
    assert_eq!(append(&anna, third, 59, &[0; 1]).unwrap(), 60);
    over(
        anna.append_upload(third, 60, Some(0), Some(61), None)
            .map(drop),
    );
    let last = anna
        .append_upload(third, 60, Some(0), Some(60), None)
        .unwrap();
    assert!(last.finish().unwrap().finished.is_some());
    assert_eq!(books.room.load(Ordering::SeqCst), 40);

    // The decision is made at the end: until there is room, it waits.
    append(&anna, second, 0, &[1; 39]).unwrap();
    books.room.store(39, Ordering::SeqCst);
    over(append(&anna, second, 39, &[1; 1]).map(drop));
    over(anna.upload(second).map(drop));
    assert!(!folder.path().join("b").exists());
    books.room.store(40, Ordering::SeqCst);
    assert!(anna.upload(second).unwrap().finished.is_some());
    assert_eq!(std::fs::read(folder.path().join("b")).unwrap(), [1; 40]);
}

#[test]
fn joining_needs_no_room_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (share, books) = share(folder.path(), 100);
    let anna = view(&share, Some("anna"));
    let part = Creation {
        partial: true,
        ..creation("p", Some(50))
    };
    let parts = [(); 2].map(|()| anna.create_upload(&part).unwrap());
    for id in parts {
        append(&anna, id, 0, &[7; 50]).unwrap();
    }
    let (_, progress) = anna.join_uploads(&creation("whole", None), &parts).unwrap();
    assert_eq!(progress.offset, 100);
    assert_eq!(books.room.load(Ordering::SeqCst), 0);
    assert_eq!(
        std::fs::read(folder.path().join("whole")).unwrap(),
        [7; 100]
    );
}

#[test]
fn a_full_disk_is_told_before_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let share = Share::open(folder.path()).unwrap();
    let view = view(&share, None);
    let huge = view.create_upload(&creation("a", Some(i64::MAX as u64)));
    assert_eq!(kind(huge), io::ErrorKind::StorageFull);
}

#[test]
fn a_sweep_spares_what_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules {
        upload_expiry: Duration::from_millis(200),
        ..Rules::default()
    };
    let share = Share::open(folder.path()).unwrap().with_rules(rules);
    let view = view(&share, None);
    let old = view.create_upload(&creation("old", Some(9))).unwrap();
    let id = view.create_upload(&creation("a", Some(1_000_000))).unwrap();
    let mut writing = view.append_upload(id, 0, None, None, None).unwrap();
    let mut at = 0;
    let mut swept = 0;
    while swept == 0 {
        writing.write(&[1; 10]).unwrap();
        at += 10;
        swept += share.sweep().unwrap();
        thread::yield_now();
    }
    assert_eq!(swept, 1);
    assert_eq!(kind(view.upload(old)), io::ErrorKind::NotFound);
    writing.write(&[1; 10]).unwrap();
    assert_eq!(writing.finish().unwrap().offset, at + 10);
}

#[test]
fn checks_are_of_each_request_alone() {
    let folder = tempfile::tempdir().unwrap();
    let share = Share::open(folder.path()).unwrap();
    let view = view(&share, None);
    let id = view.create_upload(&creation("a", Some(4))).unwrap();
    append(&view, id, 0, b"ab").unwrap();
    let check = || {
        Check::new(
            Algorithm::Crc32,
            crc32fast::hash(b"cd").to_be_bytes().to_vec(),
        )
    };
    let mut wrong = view
        .append_upload(id, 2, None, None, Some(check()))
        .unwrap();
    wrong.write(b"c").unwrap();
    assert!(matches!(wrong.finish(), Err(UploadError::Mismatch)));
    let mut right = view
        .append_upload(id, 2, None, None, Some(check()))
        .unwrap();
    right.write(b"c").unwrap();
    right.write(b"d").unwrap();
    assert!(right.finish().unwrap().finished.is_some());
}

#[test]
fn many_at_one_time_are_not_promised_the_same_room() {
    const ROOM: u64 = 20 << 20;
    let folder = tempfile::tempdir().unwrap();
    let (share, _books) = share(folder.path(), ROOM);
    let anna = view(&share, Some("anna"));
    let made = thread::scope(|scope| {
        let begin = || anna.create_upload(&creation("a", Some(ROOM * 2 / 3)));
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(begin)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.filter_map(Result::ok).collect::<Vec<_>>()
    });
    assert_eq!(made.len(), 1);
    anna.terminate_upload(made[0]).unwrap();

    // Nor are those that grow at one time, but for a little.
    let mut growing: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let id = anna.create_upload(&creation(name, None)).unwrap();
            anna.append_upload(id, 0, None, None, None).unwrap()
        })
        .collect();
    let piece = vec![0; 1 << 20];
    let mut taken = 0;
    while taken <= 3 * ROOM {
        let before = taken;
        for upload in &mut growing {
            taken += upload.write(&piece).map_or(0, |()| piece.len() as u64);
        }
        if taken == before {
            break;
        }
    }
    assert!((ROOM..ROOM * 3 / 2).contains(&taken), "{taken}");
}

#[test]
fn uploads_of_an_account_that_is_gone_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (share, _books) = share(folder.path(), 100);
    let (anna, ben) = (view(&share, Some("anna")), view(&share, Some("ben")));
    let annas = anna.create_upload(&creation("a", Some(60))).unwrap();
    let bens = ben.create_upload(&creation("b", Some(60))).unwrap();
    let stranger = view(&share, None);
    let strangers = stranger.create_upload(&creation("c", Some(60))).unwrap();
    assert_eq!(share.remove_uploads_of("anna").unwrap(), 1);
    assert_eq!(kind(anna.upload(annas)), io::ErrorKind::NotFound);
    // Another account of that name has all of its room.
    anna.create_upload(&creation("a", Some(100))).unwrap();
    ben.upload(bens).unwrap();
    stranger.upload(strangers).unwrap();
}

//! Transfers cut by `kill -9` on either side, at any moment, and gone on with by
//! the same command: what arrives is the same, and little is sent twice.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use hythe_wire::transfer::{BLOCK, Message, Received};

use super::common::{Dice, content, eventually};
use super::ends::{KIB, MIB, Place, Receiver, finish_child, same_tree, sending};

/// How often it is interrupted.
const KILLS: u64 = 50;

/// How many bytes of blocks are sent twice at most, for each time.
const REPEATED: u64 = 4 * MIB as u64;

/// What moments are drawn from, so that a failure can be had again.
const SEED: u64 = 0x6879_7468_6500_0009;

/// How many small files there are, beside a large one.
const SMALL: u64 = 10_000;

/// How much of the large one is no hole.
const RANDOM: usize = 48 * MIB;

// --- A road that counts -----------------------------------------------------------

/// Passes connections on to whoever is the receiver at the time, and reads what
/// the sender says: of blocks it counts the bytes, and so neither heads and hashes
/// nor what is told of files.
struct Road {
    address: SocketAddr,
    there: Arc<Mutex<Option<SocketAddr>>>,
    blocks: Arc<AtomicU64>,
    /// All bytes that the sender said.
    all: Arc<AtomicU64>,
}

impl Road {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let road = Self {
            address: listener.local_addr().unwrap(),
            there: Arc::default(),
            blocks: Arc::default(),
            all: Arc::default(),
        };
        let there = Arc::clone(&road.there);
        let (blocks, all) = (Arc::clone(&road.blocks), Arc::clone(&road.all));
        thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                let address = *there.lock().unwrap();
                let Some(there) = address.and_then(|address| TcpStream::connect(address).ok())
                else {
                    continue;
                };
                let counter = Counter {
                    frames: Frames::default(),
                    blocks: Arc::clone(&blocks),
                    all: Arc::clone(&all),
                };
                let (from, to) = (here.try_clone().unwrap(), there.try_clone().unwrap());
                thread::spawn(move || pass(from, to, Some(counter)));
                thread::spawn(move || pass(there, here, None));
            }
        });
        road
    }
}

struct Counter {
    frames: Frames,
    blocks: Arc<AtomicU64>,
    all: Arc<AtomicU64>,
}

/// What the sender says, as far as it has to be understood.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Of the block that is coming.
    left: usize,
}

impl Frames {
    /// How many of these bytes are of blocks.
    fn blocks_in(&mut self, bytes: &[u8]) -> usize {
        self.bytes.extend_from_slice(bytes);
        let (mut used, mut blocks) = (0, 0);
        loop {
            let count = self.left.min(self.bytes.len() - used);
            (used, blocks, self.left) = (used + count, blocks + count, self.left - count);
            match Message::decode(&self.bytes[used..]).unwrap() {
                Some(Received { message, used: it }) if self.left == 0 => {
                    used += it;
                    if let Message::Block { length, .. } = message {
                        self.left = length as usize;
                    }
                }
                _ => break,
            }
        }
        self.bytes.drain(..used);
        blocks
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut counter: Option<Counter>) {
    let mut piece = vec![0; 64 * KIB];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if let Some(counter) = &mut counter {
            let blocks = counter.frames.blocks_in(&piece[..count]) as u64;
            counter.blocks.fetch_add(blocks, Ordering::Relaxed);
            counter.all.fetch_add(count as u64, Ordering::Relaxed);
        }
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
}

// --- What is sent -----------------------------------------------------------------

/// Small files in folders, of which some are empty, and a large one among them
/// that is mostly holes; how many bytes are sent of them if nothing goes wrong.
fn prepare(root: &Path, dice: &mut Dice) -> u64 {
    let mut bytes = 0;
    for number in 0..SMALL {
        let folder = root.join(format!("{:02}", number / 100));
        if number.is_multiple_of(100) {
            fs::create_dir_all(&folder).unwrap();
        }
        let length = match number % 7 {
            0 => 0,
            _ => dice.below(1500),
        };
        let file = folder.join(format!("文件 {number}"));
        fs::write(&file, content(length as usize)).unwrap();
        bytes += length;
        if number.is_multiple_of(5) {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
            let nanos = Duration::from_nanos(1_500_000_000_000_000_000 + dice.below(1 << 60));
            let file = fs::File::open(&file).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + nanos).unwrap();
        }
    }
    let large = fs::File::create(root.join("50 large")).unwrap();
    large.set_len(4 << 30).unwrap();
    let random = content(RANDOM);
    // In pieces that begin and end anywhere.
    for (number, piece) in random.chunks(3 * MIB).enumerate() {
        let offset = number as u64 * (255 << 20) + dice.below(1 << 20);
        large.write_all_at(piece, offset).unwrap();
        // A block in which there is a bit of it is sent whole.
        let last = (offset + piece.len() as u64 - 1) / BLOCK;
        bytes += (last - offset / BLOCK + 1) * BLOCK;
    }
    large
        .set_permissions(fs::Permissions::from_mode(0o400))
        .unwrap();
    bytes
}

#[test]
fn a_tree_is_cut_fifty_times_and_arrives_as_it_was() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let place = Place::new();
    let root = place.path("from/tree");
    fs::create_dir(&root).unwrap();
    let bytes = prepare(&root, &mut dice);
    let road = Road::new();
    let address = road.address.to_string();
    let listen = || {
        let receiver = Receiver::start(&place.path("to"), &[]);
        *road.there.lock().unwrap() = Some(receiver.socket());
        receiver
    };
    let mut receiver = listen();
    let (mut kills, mut of_receiver) = (0, 0);
    loop {
        let before = road.all.load(Ordering::Relaxed);
        let mut command = sending(&["--retries", "0", root.to_str().unwrap(), &address]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut sender = command.stdin(Stdio::null()).spawn().unwrap();
        if kills == KILLS {
            finish_child(sender).ok();
            break;
        }
        // Somewhere among what is told of files, or among blocks.
        let moment = match dice.below(4) {
            0 => dice.below(200 * KIB as u64),
            _ => dice.below(3 * MIB as u64),
        };
        eventually("the moment", || {
            let said = road.all.load(Ordering::Relaxed) - before;
            said >= moment || sender.try_wait().unwrap().is_some()
        });
        assert!(
            sender.try_wait().unwrap().is_none(),
            "it was done after {kills} kills"
        );
        if dice.below(2) == 0 {
            sender.kill().unwrap();
            sender.wait().unwrap();
        } else {
            of_receiver += 1;
            receiver.kill();
            let said = finish_child(sender);
            assert_eq!(said.status, 5, "{said:?}");
            receiver = listen();
        }
        kills += 1;
    }
    let received = receiver.wait().ok();
    same_tree(&root, &place.path("to/tree"));
    assert!(!place.path("to/.hythe-receive").exists(), "{received:?}");
    let sent = road.blocks.load(Ordering::Relaxed);
    println!(
        "{kills} kills, {of_receiver} of them of the receiver: {sent} bytes of blocks for {bytes}, {} more for each",
        (sent - bytes) / kills
    );
    assert!(sent <= bytes + kills * REPEATED, "{sent} for {bytes}");
}

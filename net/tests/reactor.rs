//! The event loop and the streams in it, on every multiplexer.

mod common;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::{Future, pending, poll_fn};
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{FOREVER, MUXES, in_each_reactor, tcp_pair};
use hythe_net::option::RecvBuffer;
use hythe_net::reactor::{lease, sleep, spawn, stopping, timeout, unblock, yield_now};
use hythe_net::{
    Addr, Domain, How, Input, Kind, Listener, More, Patience, Reactor, Socket, Stream,
    create_server,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

const SHORT: Duration = Duration::from_millis(20);

/// Everything until the peer's end.
async fn read_all(stream: &Stream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut buffer = lease();
        match stream.recv(&mut buffer).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// In pieces of every size, more than the socket takes at once.
#[test]
fn pieces_go_out_together_and_in_order() {
    in_each_reactor(async || {
        let (one, other) = Stream::pair().unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        spawn(async move {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let (first, second) = rest.split_at(rest.len() / 3);
                let pieces = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)];
                let count = poll_fn(|context| one.poll_send_vectored(context, &pieces));
                rest = &rest[count.await.unwrap()..];
            }
            assert_eq!(one.sent(), sent.len() as u64);
        });
        assert!(read_all(&other).await? == expected);
        Ok(())
    });
}

#[test]
fn a_peek_leaves_what_it_sees() {
    in_each_reactor(async || {
        let (one, other) = Stream::pair().unwrap();
        let mut seen = [0; 8];
        spawn(async move {
            sleep(SHORT).await;
            one.send_all(b"abc", More::No).await.unwrap();
        });
        for _ in 0..3 {
            let count = poll_fn(|context| other.poll_peek(context, &mut seen)).await;
            assert_eq!((count.unwrap(), &seen[..3]), (3, &b"abc"[..]));
        }
        assert_eq!(read_all(&other).await.unwrap(), b"abc");
        let end = poll_fn(|context| other.poll_peek(context, &mut seen)).await;
        assert_eq!(end.unwrap(), 0);
        Ok(())
    });
}

// --- Tasks -----------------------------------------------------------------

#[test]
fn tasks_run_beside_their_parent() {
    in_each_reactor(async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        for name in ["one", "two"] {
            let log = Rc::clone(&log);
            spawn(async move {
                for step in 0..2 {
                    log.borrow_mut().push((name, step));
                    yield_now().await;
                }
            });
        }
        assert!(log.borrow().is_empty(), "spawning only queues");
        while log.borrow().len() < 4 {
            yield_now().await;
        }
        let expected = [("one", 0), ("two", 0), ("one", 1), ("two", 1)];
        assert_eq!(*log.borrow(), expected);
        Ok(())
    });
}

#[test]
fn a_panic_ends_its_task_only() {
    in_each_reactor(async || {
        let (here, there) = Stream::pair()?;
        spawn(async move {
            let _closed_by_the_panic = there;
            panic!("a panic on purpose");
        });
        assert!(read_all(&here).await?.is_empty());
        Ok(())
    });
}

#[test]
fn no_wake_up_from_other_threads_is_lost() {
    const ROUNDS: usize = 5_000;
    /// A thread counts up, wakes the loop, and waits until it was heard.
    #[derive(Default)]
    struct Caller {
        called: AtomicUsize,
        heard: AtomicUsize,
    }
    in_each_reactor(async || {
        let callers: Arc<[Caller; 3]> = Arc::default();
        let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
        let threads: Vec<_> = (0..callers.len())
            .map(|index| {
                let (callers, waker) = (Arc::clone(&callers), Arc::clone(&waker));
                thread::spawn(move || {
                    let caller = &callers[index];
                    for round in 1..=ROUNDS {
                        caller.called.store(round, Ordering::SeqCst);
                        let waker = waker.lock().unwrap().clone();
                        waker.inspect(Waker::wake_by_ref);
                        while caller.heard.load(Ordering::SeqCst) < round {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        poll_fn(|context| {
            *waker.lock().unwrap() = Some(context.waker().clone());
            let mut done = true;
            for caller in callers.iter() {
                let called = caller.called.load(Ordering::SeqCst);
                caller.heard.store(called, Ordering::SeqCst);
                done &= called == ROUNDS;
            }
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        Ok(())
    });
}

#[test]
fn work_on_the_pool_comes_back_to_its_task() {
    in_each_reactor(async || {
        let done = Rc::new(Cell::new(0));
        for number in 0..50 {
            let done = Rc::clone(&done);
            spawn(async move {
                for step in 0..20 {
                    assert_eq!(unblock(move || number + step).await, number + step);
                }
                done.set(done.get() + 1);
            });
        }
        while done.get() < 50 {
            unblock(|| ()).await;
        }
        Ok(())
    });
}

#[test]
fn endless_work_of_one_task_does_not_starve_another() {
    in_each_reactor(async || {
        for _ in 0..2 {
            let (one, other) = Stream::pair()?;
            spawn(async move {
                let mut byte = [0];
                // Always ready, so that nothing but its budget stops it.
                while one.send_all(b"x", More::No).await.is_ok() {
                    other.recv(&mut byte).await.unwrap();
                }
            });
        }
        let (here, there) = Stream::pair()?;
        for _ in 0..50 {
            here.send_all(b"x", More::No).await?;
            there.recv(&mut [0]).await?;
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    });
}

#[test]
fn dropping_a_reactor_drops_its_tasks_and_closes_their_sockets() {
    for kind in MUXES {
        let (mut peer, socket) = std::os::unix::net::UnixStream::pair().unwrap();
        let reactor = Reactor::on(kind.open().unwrap()).unwrap();
        reactor
            .block_on(async {
                let stream = Stream::new(Socket::from(std::os::fd::OwnedFd::from(socket))).unwrap();
                spawn(async move { drop(stream.recv(&mut [0]).await) });
                yield_now().await;
            })
            .unwrap();
        peer.set_nonblocking(true).unwrap();
        let error = peer.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "it is still open");
        drop(reactor);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn tasks_that_others_start_as_they_are_dropped_are_dropped_as_well() {
    struct SpawnsOnDrop(Arc<()>);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            let held = Arc::clone(&self.0);
            spawn(async move {
                pending::<()>().await;
                drop(held);
            });
        }
    }
    for kind in MUXES {
        let held = Arc::new(());
        let reactor = Reactor::on(kind.open().unwrap()).unwrap();
        for _ in 0..3 {
            let guard = SpawnsOnDrop(Arc::clone(&held));
            reactor
                .block_on(async {
                    spawn(async move {
                        pending::<()>().await;
                        drop(guard);
                    });
                })
                .unwrap();
        }
        drop(reactor);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

#[test]
fn tasks_that_another_thread_wakes_meanwhile_are_dropped_as_well() {
    let held = Arc::new(());
    for _ in 0..300 {
        let reactor = Reactor::on(MUXES[2].open().unwrap()).unwrap();
        let start = || async {
            for _ in 0..4 {
                let held = Arc::clone(&held);
                spawn(async move {
                    unblock(|| ()).await;
                    pending::<()>().await;
                    drop(held);
                });
            }
            yield_now().await;
        };
        reactor.block_on(start()).unwrap();
        drop(reactor);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

// --- Time ------------------------------------------------------------------

#[test]
fn sleeps_end_in_the_order_of_their_times() {
    in_each_reactor(async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        for times in [3, 1, 2] {
            let log = Rc::clone(&log);
            spawn(async move {
                sleep(SHORT * times).await;
                log.borrow_mut().push(times);
            });
        }
        let begun = Instant::now();
        sleep(SHORT * 4).await;
        assert!(begun.elapsed() >= SHORT * 4);
        assert_eq!(*log.borrow(), [1, 2, 3]);
        Ok(())
    });
}

#[test]
fn a_sleep_wakes_whoever_polled_it_last() {
    in_each_reactor(async || {
        let mut sleeping = pin!(sleep(SHORT));
        let mut somebody_else = Context::from_waker(Waker::noop());
        assert!(sleeping.as_mut().poll(&mut somebody_else).is_pending());
        sleeping.await;
        Ok(())
    });
}

#[test]
fn a_timeout_ends_what_takes_longer_and_nothing_else() {
    in_each_reactor(async || {
        assert_eq!(timeout(FOREVER, async { 1 }).await?, 1);
        assert_eq!(timeout(Duration::MAX, async { 2 }).await?, 2);
        let error = timeout(SHORT, pending::<()>()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn a_peer_that_says_nothing_is_given_up() {
    in_each_reactor(async || {
        let (here, _there) = Stream::pair()?;
        here.set_patience(Patience {
            idle: SHORT,
            bytes: 1,
        });
        let error = here.recv(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        here.progressed();
        assert_eq!(
            here.input().await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        Ok(())
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    in_each_reactor(async || {
        let (here, _there) = tcp_pair().await?;
        here.set_patience(Patience {
            idle: SHORT,
            bytes: usize::MAX,
        });
        let error = here
            .send_all(&vec![0; 64 << 20], More::No)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn what_a_peer_did_not_take_in_time_is_not_kept_for_it() {
    in_each_reactor(async || {
        let (here, there) = tcp_pair().await?;
        here.set_patience(Patience {
            idle: SHORT,
            bytes: usize::MAX,
        });
        let data = vec![0; 64 << 20];
        here.send_all(&data, More::No).await.unwrap_err();
        // However orderly it is ended.
        here.close().await;
        drop(here);
        let taken = read_all(&there).await.map(|bytes| bytes.len());
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

        // One that takes it after all, and is waited for, loses nothing.
        let (here, there) = tcp_pair().await?;
        here.set_patience(Patience {
            idle: SHORT,
            bytes: usize::MAX,
        });
        here.send_all(&data, More::No).await.unwrap_err();
        here.set_patience(Patience::default());
        let sent = here.sent();
        let more = async {
            here.send_all(b"more", More::No).await?;
            drop(here);
            io::Result::Ok(())
        };
        let (more, taken) = futures_lite::future::zip(more, read_all(&there)).await;
        more?;
        assert_eq!(taken?.len() as u64, sent + 4);
        Ok(())
    });
}

/// The kernel takes nothing more before much of its buffer has gone; a peer
/// that reads so slowly that this takes longer than the idle time lives.
#[test]
fn a_peer_that_reads_steadily_is_not_given_up_however_full_the_buffer_is() {
    const IDLE: Duration = Duration::from_millis(300);
    const PIECE: usize = 4 * 1024;
    in_each_reactor(async || {
        for (here, there) in [tcp_pair().await?, Stream::pair()?] {
            here.set_patience(Patience {
                idle: IDLE,
                bytes: PIECE / 4,
            });
            there.socket().set(RecvBuffer(2 * PIECE as u32))?;
            let (taken, begun) = (Cell::new(0), Instant::now());
            let read = async {
                while begun.elapsed() < 3 * IDLE {
                    let mut piece = [0; PIECE];
                    taken.set(taken.get() + there.recv(&mut piece).await?);
                    sleep(SHORT).await;
                }
                drop(there);
                io::Result::Ok(())
            };
            let data = vec![0; 8 << 20];
            let sending = here.send_all(&data, More::No);
            let (sent, read) = futures_lite::future::zip(sending, read).await;
            read?;
            assert_ne!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(taken.get() < data.len() / 2, "it was never about to end");
        }
        Ok(())
    });
}

/// Sends a byte now and then for as long as anybody listens.
fn trickle(stream: Stream, pause: Duration) {
    spawn(async move {
        while stream.send_all(b"x", More::No).await.is_ok() {
            sleep(pause).await;
        }
    });
}

#[test]
fn a_peer_that_sends_a_byte_at_a_time_makes_no_progress() {
    in_each_reactor(async || {
        let (here, there) = Stream::pair()?;
        here.set_patience(Patience {
            idle: 5 * SHORT,
            bytes: 1 << 20,
        });
        trickle(there, SHORT / 10);
        let error = read_all(&here).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn a_peer_that_makes_progress_may_take_longer_than_the_idle_time() {
    const IDLE: Duration = Duration::from_secs(1);
    in_each_reactor(async || {
        let (here, there) = Stream::pair()?;
        here.set_patience(Patience {
            idle: IDLE,
            bytes: 4,
        });
        trickle(there, SHORT);
        let begun = Instant::now();
        while begun.elapsed() < IDLE + 5 * SHORT {
            here.recv(&mut [0]).await?;
        }
        Ok(())
    });
}

#[test]
fn a_deadline_can_be_moved_while_somebody_waits() {
    in_each_reactor(async || {
        let (here, _there) = Stream::pair()?;
        let here = Rc::new(here);
        for (first, then) in [
            (None, SHORT),
            (Some(FOREVER), SHORT),
            (Some(SHORT / 2), SHORT),
        ] {
            let begun = Instant::now();
            here.set_deadline(first.map(|first| begun + first));
            let other = Rc::clone(&here);
            spawn(async move {
                yield_now().await;
                other.set_deadline(Some(begun + then));
            });
            let error = here.recv(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() >= then, "the later deadline holds");
        }
        Ok(())
    });
}

// --- Bytes -----------------------------------------------------------------

#[test]
fn both_directions_carry_much_more_than_their_buffers() {
    in_each_reactor(async || {
        for tcp in [true, false] {
            let (here, there) = if tcp {
                tcp_pair().await?
            } else {
                Stream::pair()?
            };
            spawn(async move {
                let mut buffer = lease();
                loop {
                    match there.recv(&mut buffer).await.unwrap() {
                        0 => return,
                        count => there.send_all(&buffer[..count], More::No).await.unwrap(),
                    }
                }
            });
            let data: Vec<u8> = (0..3 << 20).map(|index: u32| (index / 7) as u8).collect();
            let send = async {
                here.send_all(&data, More::No).await?;
                here.shutdown(How::Write)
            };
            let (sent, received) = futures_lite::future::zip(send, read_all(&here)).await;
            sent?;
            assert!(received? == data);
        }
        Ok(())
    });
}

#[test]
fn after_the_peers_end_of_writing_it_can_still_be_answered() {
    in_each_reactor(async || {
        let (here, there) = tcp_pair().await?;
        here.send_all(b"question", More::No).await?;
        here.shutdown(How::Write)?;
        assert_eq!(read_all(&there).await?, b"question");
        there.send_all(b"answer", More::No).await?;
        drop(there);
        assert_eq!(read_all(&here).await?, b"answer");
        Ok(())
    });
}

#[test]
fn what_comes_after_urgent_data_is_not_left_lying() {
    in_each_reactor(async || {
        for inline in [false, true] {
            let (here, there) = tcp_pair().await?;
            if inline {
                here.keep_urgent_inline()?;
            }
            there.send_all(b"before", More::No).await?;
            send(there.socket(), b"!", SendFlags::OOB)?;
            there.send_all(b"after", More::No).await?;
            // Once all of it is there, one event stands for it, and the
            // kernel ends the first read at the urgent byte.
            sleep(SHORT).await;
            let expected: &[u8] = if inline {
                b"before!after"
            } else {
                b"beforeafter"
            };
            let mut received = Vec::new();
            while received.len() < expected.len() {
                let mut buffer = lease();
                let count = timeout(FOREVER / 4, here.recv(&mut buffer)).await??;
                received.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(received, expected);
        }
        Ok(())
    });
}

#[test]
fn what_comes_after_passed_descriptors_is_not_left_lying() {
    in_each_reactor(async || {
        let (here, there) = Stream::pair()?;
        for text in [b"one", b"two"] {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors = [there.socket().as_fd()];
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
            let bytes = [IoSlice::new(text)];
            sendmsg(there.socket(), &bytes, &mut ancillary, SendFlags::empty())?;
        }
        let mut buffer = lease();
        assert_eq!(here.recv(&mut buffer).await?, 3);
        assert_eq!(timeout(FOREVER / 4, here.recv(&mut buffer)).await??, 3);
        Ok(())
    });
}

#[test]
fn a_connection_that_nobody_takes_is_refused_and_one_nobody_answers_times_out() {
    in_each_reactor(async || {
        let listener = create_server(&"127.0.0.1:0".parse()?, false)?;
        let address = listener.sock_name()?;
        drop(listener);
        let refused = Stream::connect(&address, None, FOREVER).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        let listener = Socket::new(Domain::INET, Kind::STREAM)?;
        listener.bind(&"127.0.0.1:0".parse()?)?;
        listener.listen(0)?;
        // The backlog takes one or two; the next has to wait.
        let mut held = Vec::new();
        let error = loop {
            match Stream::connect(&listener.sock_name()?, None, 10 * SHORT).await {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 10);
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn a_listener_hands_out_everyone_who_came() {
    in_each_reactor(async || {
        const CROWD: usize = 200;
        let listener = Listener::new(create_server(&"127.0.0.1:0".parse()?, false)?)?;
        let address = listener.socket().sock_name()?;
        let mut clients = Vec::new();
        for _ in 0..CROWD {
            clients.push(Stream::connect(&address, None, FOREVER).await?);
        }
        for _ in 0..CROWD {
            listener
                .accept()
                .await?
                .send_all(b"hello", More::No)
                .await?;
        }
        for client in &clients {
            assert_eq!(read_all(client).await?, b"hello");
        }
        Ok(())
    });
}

// --- Files -----------------------------------------------------------------

/// What a peer receives when a range of a file is sent, and how sending ended.
async fn sent(
    (here, there): (Stream, Stream),
    file: &File,
    range: Range<u64>,
) -> io::Result<(Vec<u8>, io::Result<()>)> {
    let send = async {
        let result = here.send_file(file, range).await;
        drop(here);
        result
    };
    let (result, received) = futures_lite::future::zip(send, read_all(&there)).await;
    Ok((received?, result))
}

fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_range_of_a_file_is_sent_and_nothing_more() {
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|index| (index / 251) as u8)
        .collect();
    let file = file_of(&content);
    in_each_reactor(async || {
        for range in [0..0, 0..1, 5..3_000_000, 1_048_575..2_097_153] {
            let expected = &content[range.start as usize..range.end as usize];
            for streams in [tcp_pair().await?, Stream::pair()?] {
                let (received, result) = sent(streams, &file, range.clone()).await?;
                result?;
                assert!(received == expected, "{range:?}");
            }
        }
        Ok(())
    });
}

/// A peer in a thread of its own keeps up, so that most goes out on the pool,
/// in strides; its pauses lead back to the reactor.
#[test]
fn a_large_file_reaches_a_fast_peer_whole_and_one_that_pauses_too() {
    const LENGTH: u64 = 40_000_000;
    let content: Vec<u8> = (0..LENGTH as u32 / 4).flat_map(u32::to_le_bytes).collect();
    let file = file_of(&content);
    in_each_reactor(async || {
        for (pauses, range) in [
            (0, 0..LENGTH),
            (0, 3..LENGTH - 5),
            (3, 1..LENGTH),
            (0, 0..LENGTH + 1),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?.into();
            let reader = thread::spawn(move || {
                let (mut peer, _) = listener.accept().unwrap();
                let mut received = Vec::new();
                for _ in 0..pauses {
                    thread::sleep(SHORT);
                    let mut some = Read::take(&mut peer, 5_000_000);
                    some.read_to_end(&mut received).unwrap();
                }
                peer.read_to_end(&mut received).unwrap();
                received
            });
            let stream = Stream::connect(&address, None, FOREVER).await?;
            let counted = Cell::new(0);
            let count = |bytes| counted.set(counted.get() + bytes);
            let result = stream.send_file_counted(&file, range.clone(), &count).await;
            drop(stream);
            let received = reader.join().unwrap();
            let end = range.end.min(LENGTH);
            assert_eq!(result.is_err(), range.end > LENGTH, "{range:?}");
            assert_eq!(counted.get(), end - range.start, "{range:?}");
            assert!(received == content[range.start as usize..end as usize]);
        }
        Ok(())
    });
}

#[test]
fn a_file_that_became_shorter_is_an_unexpected_end() {
    let file = file_of(&[7; 5000]);
    in_each_reactor(async || {
        for range in [0..6000, 5000..5001, 1_000_000..3_000_000] {
            let (received, result) = sent(tcp_pair().await?, &file, range.clone()).await?;
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(received.len() as u64, 5000_u64.saturating_sub(range.start));
        }
        Ok(())
    });
}

#[test]
fn offsets_beyond_two_and_four_gibibytes_are_exact() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(6 << 30).unwrap();
    in_each_reactor(async || {
        for middle in [2_u64 << 30, 4 << 30] {
            file.write_all_at(b"a mark", middle - 3)?;
            let range = middle - 4..middle + 4;
            let (received, result) = sent(tcp_pair().await?, &file, range).await?;
            result?;
            assert_eq!(received, b"\0a mark\0");
        }
        Ok(())
    });
}

#[test]
fn a_file_that_is_not_in_memory_is_sent_just_the_same() {
    let content: Vec<u8> = (0..4_000_000_u32).map(|index| (index / 3) as u8).collect();
    let file = file_of(&content);
    file.sync_all().unwrap();
    in_each_reactor(async || {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        let (received, result) = sent(tcp_pair().await?, &file, 0..4_000_000).await?;
        result?;
        assert!(received == content);
        Ok(())
    });
}

/// What `/proc` has can't be probed, and is read on the pool first.
#[test]
fn the_time_a_disk_takes_is_not_the_peers() {
    let file = File::open("/proc/version").unwrap();
    in_each_reactor(async || {
        let (here, _there) = tcp_pair().await?;
        while here.socket().send(&[0; 4096], More::No).is_ok() {}
        here.set_patience(Patience {
            idle: SHORT,
            bytes: usize::MAX,
        });
        // Over before the disk has answered.
        let begun = Instant::now();
        here.set_deadline(Some(begun));
        let error = here.send_file(&file, 0..4).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SHORT, "the peer has all its time");
        Ok(())
    });
}

#[test]
fn what_the_kernel_cannot_send_is_copied_and_what_is_no_file_refused() {
    let text = std::fs::read("/proc/version").unwrap();
    let file = File::open("/proc/version").unwrap();
    let folder = File::open("/").unwrap();
    let (pipe, _writer) = io::pipe().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
    in_each_reactor(async || {
        let whole = 0..text.len() as u64;
        let (received, result) = sent(tcp_pair().await?, &file, whole).await?;
        result?;
        assert_eq!(received, text);
        for no_file in [&folder, &pipe] {
            let (received, result) = sent(tcp_pair().await?, no_file, 0..10).await?;
            assert!(result.is_err() && received.is_empty());
        }
        Ok(())
    });
}

// --- Stopping --------------------------------------------------------------

/// Runs a future in a reactor that is stopped once the future has called back.
fn with_stop<T: Future<Output = io::Result<()>>>(test: impl Fn(Box<dyn Fn()>) -> T) {
    for kind in MUXES {
        println!("on {kind:?}");
        let reactor = Reactor::on(kind.open().unwrap()).unwrap();
        let remote = reactor.remote();
        let stop = Box::new(move || {
            let remote = Arc::clone(&remote);
            thread::spawn(move || remote.stop());
        });
        let limited = timeout(FOREVER, test(stop));
        reactor.block_on(limited).unwrap().unwrap().unwrap();
    }
}

#[test]
fn a_stop_reaches_those_who_wait_for_input_and_no_others() {
    with_stop(|stop| async move {
        let (here, there) = Stream::pair()?;
        let (reading, writer) = Stream::pair()?;
        spawn(async move {
            yield_now().await;
            stop();
        });
        assert!(!stopping());
        assert_eq!(here.input().await?, Input::Stopping);
        assert!(stopping());
        // In the middle of a message, reading goes on.
        spawn(async move {
            sleep(SHORT).await;
            writer.send_all(b"rest", More::No).await.unwrap();
        });
        assert_eq!(reading.recv(&mut [0; 9]).await?, 4);
        drop(there);
        Ok(())
    });
}

#[test]
fn a_stop_reaches_who_waits_after_a_read_that_filled_its_buffer() {
    with_stop(|stop| async move {
        let tcp = tcp_pair().await?;
        let unix = Stream::pair()?;
        for (here, there) in [&tcp, &unix] {
            there.send_all(b"full", More::No).await?;
            assert_eq!(here.input().await?, Input::Ready);
            assert_eq!(here.recv(&mut [0; 4]).await?, 4);
        }
        let both = futures_lite::future::zip(tcp.0.input(), unix.0.input());
        let stopped = async {
            sleep(SHORT).await;
            stop();
            pending().await
        };
        let (one, other) = futures_lite::future::or(both, stopped).await;
        assert_eq!((one?, other?), (Input::Stopping, Input::Stopping));
        Ok(())
    });
}

#[test]
fn what_was_sent_before_a_stop_is_owed_one_answer() {
    with_stop(|stop| async move {
        let (here, there) = Stream::pair()?;
        stop();
        while !stopping() {
            yield_now().await;
        }
        there.send_all(b"question", More::No).await?;
        assert_eq!(here.input().await?, Input::Ready);
        assert_eq!(here.recv(&mut [0; 4]).await?, 4);
        assert_eq!(here.input().await?, Input::Stopping);
        Ok(())
    });
}

#[test]
fn closing_lets_the_peer_read_what_was_sent_last() {
    with_stop(|stop| async move {
        let (here, there) = tcp_pair().await?;
        stop();
        while !stopping() {
            yield_now().await;
        }
        // Unread bytes would make a plain close a reset.
        there.send_all(&[0; 100_000], More::No).await?;
        here.send_all(b"no, thank you", More::No).await?;
        spawn(async move { here.close().await });
        sleep(SHORT).await;
        there.send_all(&[0; 1000], More::No).await?;
        assert_eq!(read_all(&there).await?, b"no, thank you");
        Ok(())
    });
}

#[test]
fn an_address_of_every_kind_can_be_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let name = format!("hythe-net-test-{}", std::process::id());
    in_each_reactor(async || {
        let addresses: [Addr; 4] = [
            "127.0.0.1:0".parse()?,
            "[::1]:0".parse()?,
            Addr::unix(&path)?,
            Addr::abstract_name(name.as_bytes())?,
        ];
        for address in addresses {
            let listener = Listener::new(create_server(&address, false)?)?;
            let address = listener.socket().sock_name()?;
            let client = Stream::connect(&address, None, FOREVER).await?;
            assert_eq!(client.socket().peer_name()?, address);
            listener
                .accept()
                .await?
                .send_all(b"hello", More::No)
                .await?;
            assert_eq!(read_all(&client).await?, b"hello");
        }
        std::fs::remove_file(&path)
    });
}

/// What other protocol crates plug into, by value and by reference.
#[test]
fn a_stream_reads_writes_and_closes_by_the_traits_of_futures_io() {
    use futures_lite::io::{AsyncReadExt as _, AsyncWriteExt};
    in_each_reactor(async || {
        let (mut owned, other) = Stream::pair().unwrap();
        let mut borrowed = &other;
        owned.write_all(b"by value").await.unwrap();
        owned.flush().await.unwrap();
        AsyncWriteExt::close(&mut owned).await.unwrap();
        let mut heard = Vec::new();
        borrowed.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"by value");

        borrowed.write_all(b"by reference").await.unwrap();
        AsyncWriteExt::close(&mut borrowed).await.unwrap();
        heard.clear();
        owned.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"by reference");
        Ok(())
    });
}

//! Every multiplexer against a model of ten lines: random calls on a few
//! connections, and what is ready must be what the model says.

mod common;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::on_each_mux;
use hythe_net::mux::{Interest, Mux, Ready, Token, Trigger};
use proptest::prelude::*;

const CONNECTIONS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(Interest),
    Modify(Interest),
    Remove,
    /// The peer sends a byte.
    Send,
    /// All that was sent is read.
    Drain,
    /// The peer goes away.
    HangUp,
    /// It is closed and another one takes its place, its number included.
    Reopen,
}

/// A connection, and what a multiplexer should think of it.
struct Watched {
    here: UnixStream,
    there: Option<UnixStream>,
    token: Option<(Token, Interest)>,
    unread: bool,
    /// Whether an edge-triggered multiplexer has something new to tell.
    news: bool,
}

impl Watched {
    fn new() -> Self {
        let (here, there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        Self {
            here,
            there: Some(there),
            token: None,
            unread: false,
            news: false,
        }
    }

    /// What a level-triggered multiplexer says at every wait.
    fn ready(&self) -> Ready {
        let Some((_, interest)) = self.token else {
            return Ready::NONE;
        };
        let gone = self.there.is_none();
        let mut ready = Ready::NONE;
        if gone && !interest.is_empty() {
            ready = Ready::READ | Ready::WRITE | Ready::HANGUP;
        }
        if interest.contains(Interest::READ) && self.unread {
            ready = ready | Ready::READ;
        }
        if interest.contains(Interest::WRITE) {
            ready = ready | Ready::WRITE;
        }
        ready
    }

    fn take(&mut self, step: Step, mux: &mut dyn Mux) {
        match (step, self.token) {
            (Step::Add(interest), None) => {
                let token = mux.add(self.here.as_fd(), interest).unwrap();
                self.token = Some((token, interest));
                self.news = true;
            }
            (Step::Add(interest), Some(_)) => {
                mux.add(self.here.as_fd(), interest).unwrap_err();
            }
            (Step::Modify(interest), Some((token, _))) => {
                mux.modify(token, interest).unwrap();
                self.token = Some((token, interest));
                self.news = true;
            }
            (Step::Remove, Some((token, _))) => {
                mux.remove(token).unwrap();
                mux.modify(token, Interest::READ).unwrap_err();
                mux.remove(token).unwrap_err();
                self.token = None;
            }
            (Step::Modify(_) | Step::Remove, None) => {}
            (Step::Send, _) => {
                if let Some(there) = &mut self.there {
                    there.write_all(b"x").unwrap();
                    self.unread = true;
                    // An edge concerns those who asked for its direction.
                    let asked = self.token.map_or(Interest::NONE, |(_, interest)| interest);
                    self.news |= asked.contains(Interest::READ);
                }
            }
            (Step::Drain, _) => {
                while self.here.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
                self.unread = false;
            }
            (Step::HangUp, _) => {
                self.news |= self.there.take().is_some();
            }
            (Step::Reopen, token) => {
                *self = Self::new();
                if let Some((token, _)) = token {
                    mux.remove(token).unwrap();
                }
            }
        }
    }
}

fn interest() -> impl Strategy<Value = Interest> {
    prop::sample::select(vec![
        Interest::NONE,
        Interest::READ,
        Interest::WRITE,
        Interest::READ | Interest::WRITE,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => interest().prop_map(Step::Add),
        2 => interest().prop_map(Step::Modify),
        1 => Just(Step::Remove),
        3 => Just(Step::Send),
        2 => Just(Step::Drain),
        1 => Just(Step::HangUp),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_multiplexer_reports_what_the_model_says(
        steps in prop::collection::vec((0..CONNECTIONS, step()), 1..60),
    ) {
        on_each_mux(|mux| {
            let mut all: Vec<_> = (0..CONNECTIONS).map(|_| Watched::new()).collect();
            for &(which, step) in &steps {
                all[which].take(step, mux);
                let mut events = Vec::new();
                mux.wait(&mut events, Some(Duration::ZERO)).unwrap();
                for watched in &mut all {
                    let token = watched.token.map(|(token, _)| token);
                    let told = events.iter().find(|event| Some(event.token) == token);
                    let told = told.map_or(Ready::NONE, |event| event.ready);
                    let ready = watched.ready();
                    match mux.trigger() {
                        Trigger::Level => assert_eq!(told, ready),
                        // Nothing but the truth, and that once at least.
                        Trigger::Edge if told.is_empty() => {
                            assert!(!watched.news || ready.is_empty());
                        }
                        Trigger::Edge => assert_eq!(told, ready),
                    }
                    watched.news = false;
                }
                let tokens: Vec<_> = all.iter().filter_map(|watched| watched.token).collect();
                let known = |token| tokens.iter().any(|&(own, _)| own == token);
                assert!(events.iter().all(|event| known(event.token)));
            }
        });
    }
}

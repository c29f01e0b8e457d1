//! Signing in, registering, and one's own password.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hythe_net::Addr;
use rusqlite::params;

use super::name::{PASSWORD_LIMIT, check_chosen, check_name, folded};
use super::password::{Slot, WAIT, is_old, nobodys};
use super::people::{Found, store_account};
use super::throttle::{self, Begun, Limit, Ticket};
use super::{Account, Accounts, Denied, Refused, ledger};
use crate::share::{Access, RelPath, Visitor};

/// How soon those look again whose turn depends on others.
const GLANCE: Duration = Duration::from_millis(10);

/// Who wants to sign in, and as whom.
struct Attempt<'a> {
    name: &'a [u8],
    password: &'a [u8],
    from: &'a Addr,
    protocol: &'static str,
    limits: Vec<Limit>,
    until: Instant,
}

impl Attempt<'_> {
    fn visitor(&self, account: Option<&Arc<str>>) -> Visitor {
        Visitor {
            account: account.cloned(),
            protocol: self.protocol,
            address: Some(self.from.clone()),
        }
    }
}

impl Accounts {
    /// Who this is, by name and password. Takes the same time for names that
    /// are unknown.
    ///
    /// A pair that was right in the last five minutes, and still is, costs next
    /// to nothing and is no try: tools send it with each request.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn sign_in(
        &self,
        name: &[u8],
        password: &[u8],
        from: &Addr,
        protocol: &'static str,
    ) -> Result<Account, Denied> {
        if let Some(account) = self.recognise(name, password)? {
            return Ok(account);
        }
        let attempt = Attempt {
            name,
            password,
            from,
            protocol,
            limits: throttle::sign_in(name, from),
            until: Instant::now() + WAIT,
        };
        let _waiting = self.0.waiting.enter().ok_or(Denied::Busy)?;
        loop {
            match self.begin(&attempt.limits)? {
                Begun::Go(ticket) => return self.check(&attempt, &ticket),
                Begun::Banned(left) => return Err(Denied::Throttled(left)),
                Begun::Wait if Instant::now() >= attempt.until => return Err(Denied::Busy),
                Begun::Wait => thread::sleep(GLANCE),
            }
            if let Some(account) = self.recognise(name, password)? {
                return Ok(account);
            }
        }
    }

    /// The account, if this pair was right a moment ago, and still is.
    fn recognise(&self, name: &[u8], password: &[u8]) -> io::Result<Option<Account>> {
        let Some(hash) = self.0.proofs.of(name, password) else {
            return Ok(None);
        };
        let found = self.find_bytes(name)?.filter(|found| found.hash == hash);
        let Some(mut found) = found else {
            return Ok(None);
        };
        self.touch(&mut found.account);
        Ok(Some(found.account))
    }

    fn begin(&self, limits: &[Limit]) -> io::Result<Begun> {
        let now = self.now_millis();
        self.0.store.write(|db| throttle::begin(db, limits, now))
    }

    /// Looks at the password, and writes down what came of it.
    fn check(&self, attempt: &Attempt<'_>, ticket: &Ticket) -> Result<Account, Denied> {
        let result = self.verified(attempt);
        match &result {
            Ok(found) => self.let_in(attempt, ticket, found)?,
            Err(Denied::Wrong) => self.turn_away(attempt, ticket)?,
            Err(_) => self.0.store.write(|db| throttle::forget(db, ticket))?,
        }
        result.map(|found| found.account)
    }

    /// The account whose password this is. Does the same whether there is such
    /// an account, and such passwords, or not.
    fn verified(&self, attempt: &Attempt<'_>) -> Result<Found, Denied> {
        let slot = self.0.passwords.slot(attempt.until).ok_or(Denied::Busy)?;
        let (name, password) = (attempt.name, attempt.password);
        let found = self.find_bytes(name)?;
        // Another attempt of the same may have come first.
        if let (Some(hash), Some(found)) = (self.0.proofs.of(name, password), &found)
            && found.hash == hash
        {
            return Ok(found.clone());
        }
        let hash = found
            .as_ref()
            .map_or_else(nobodys, |found| Ok((*found.hash).to_owned()))?;
        let possible = &password[..password.len().min(PASSWORD_LIMIT)];
        let right = slot.verify(possible, &hash)? && possible.len() == password.len();
        let Some(found) = found.filter(|_| right) else {
            return Err(Denied::Wrong);
        };
        // It may have been changed meanwhile.
        match self.find_bytes(name)? {
            Some(now) if now.hash == found.hash => self.renewed(&slot, found, password),
            _ => Err(Denied::Wrong),
        }
    }

    /// Hashes the password anew where that was done with other parameters.
    fn renewed(&self, slot: &Slot<'_>, found: Found, password: &[u8]) -> Result<Found, Denied> {
        if !is_old(&found.hash) || found.account.temporary {
            return Ok(found);
        }
        let hash = slot.hash(password)?;
        let name = &*found.account.name;
        let changed = self.0.store.write(|db| {
            let sql = "UPDATE accounts SET password = ? WHERE name = ? AND password = ?";
            db.execute(sql, params![hash, name, &*found.hash])
        })?;
        match changed {
            0 => Err(Denied::Wrong),
            _ => Ok(Found {
                hash: hash.into(),
                ..found
            }),
        }
    }

    fn let_in(&self, attempt: &Attempt<'_>, ticket: &Ticket, found: &Found) -> io::Result<()> {
        let name = &found.account.name;
        let (now, visitor) = (self.now(), attempt.visitor(Some(name)));
        self.0.store.write(|db| {
            throttle::forget(db, ticket)?;
            throttle::clear(db, attempt.name)?;
            db.prepare_cached("UPDATE accounts SET seen = ? WHERE name = ?")?
                .execute(params![now, &**name])?;
            ledger::note(db, now, &visitor, "sign-in", "", "")
        })?;
        self.0
            .proofs
            .add(attempt.name, attempt.password, &found.hash);
        ledger::tell(&visitor, "sign-in", "", "");
        Ok(())
    }

    /// Unknown names are not written down: they may be passwords that were
    /// typed in the wrong place.
    fn turn_away(&self, attempt: &Attempt<'_>, ticket: &Ticket) -> io::Result<()> {
        let found = self.find_bytes(attempt.name)?;
        let visitor = attempt.visitor(found.as_ref().map(|found| &found.account.name));
        let detail = match found {
            Some(_) => "wrong password",
            None => "unknown name",
        };
        let (now, millis) = (self.now(), self.now_millis());
        let last = self.0.store.write(|db| {
            let last = throttle::failed(db, &attempt.limits, ticket, millis)?;
            ledger::note(db, now, &visitor, "sign-in failed", "", detail)?;
            if last {
                // Once, and not for each that is refused from now on.
                ledger::note(db, now, &visitor, "throttled", "", detail)?;
            }
            Ok(last)
        })?;
        ledger::tell(&visitor, "sign-in failed", "", detail);
        if last {
            ledger::tell(&visitor, "throttled", "", detail);
        }
        Ok(())
    }

    /// Makes an account with this role and quota for a visitor, who chooses a
    /// password of at least eight bytes.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn register(
        &self,
        name: &[u8],
        password: &[u8],
        (role, quota): (Access, Option<u64>),
        from: &Addr,
        protocol: &'static str,
    ) -> Result<Account, Refused> {
        if matches!(role, Access::None | Access::Admin) {
            return Err(Refused::Closed);
        }
        let name = check_name(name).map_err(Refused::Unfit)?;
        check_chosen(password).map_err(Refused::Unfit)?;
        let _waiting = self.0.waiting.enter().ok_or(Denied::Busy)?;
        let limits = throttle::registration(from);
        let ticket = match self.begin(&limits)? {
            Begun::Go(ticket) => ticket,
            Begun::Banned(left) => return Err(Denied::Throttled(left).into()),
            Begun::Wait => return Err(Denied::Busy.into()),
        };
        // Asking for names is limited as well: it tells which there are.
        if self.is_taken(name)? {
            let millis = self.now_millis();
            self.0
                .store
                .write(|db| throttle::failed(db, &limits, &ticket, millis))?;
            return Err(Refused::Taken);
        }
        let account = Account {
            name: name.into(),
            role,
            home: RelPath::root(),
            quota,
            created: self.now(),
            seen: Some(self.now()),
            temporary: false,
        };
        let visitor = Visitor {
            account: Some(Arc::clone(&account.name)),
            protocol,
            address: Some(from.clone()),
        };
        let millis = self.now_millis();
        let hash = self.hash(password);
        let made = self.0.store.write(|db| {
            // It counts, even where someone else was quicker.
            throttle::failed(db, &limits, &ticket, millis)?;
            match &hash {
                Ok(hash) => store_account(db, &account, hash, &visitor, "register"),
                Err(_) => Ok(false),
            }
        })?;
        let hash = hash?;
        if !made {
            return Err(Refused::Taken);
        }
        self.0.proofs.add(name.as_bytes(), password, &hash);
        ledger::tell(&visitor, "register", "", role.as_str());
        Ok(account)
    }

    /// Changes the password of an account by its owner, which ends all its
    /// sessions.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn change_password(
        &self,
        name: &str,
        old: &[u8],
        new: &[u8],
        from: &Addr,
        protocol: &'static str,
    ) -> Result<(), Refused> {
        check_chosen(new).map_err(Refused::Unfit)?;
        let account = self.sign_in(name.as_bytes(), old, from, protocol)?;
        let visitor = Visitor {
            account: Some(Arc::clone(&account.name)),
            protocol,
            address: Some(from.clone()),
        };
        self.put_password(&account.name, new, &visitor)
    }

    /// Whether there is such a name, or one that people would take for it.
    pub(super) fn is_taken(&self, name: &str) -> io::Result<bool> {
        let folded = folded(name);
        if self.temporary_named(|other| super::name::folded(other) == folded) {
            return Ok(true);
        }
        self.0.store.read(|db| {
            db.prepare_cached("SELECT 1 FROM accounts WHERE folded = ?")?
                .exists([folded])
        })
    }

    /// Hashes a password, when it is its turn.
    pub(super) fn hash(&self, password: &[u8]) -> Result<String, Denied> {
        let slot = self.0.passwords.slot(Instant::now() + WAIT);
        Ok(slot.ok_or(Denied::Busy)?.hash(password)?)
    }
}

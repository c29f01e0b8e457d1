//! The accounts themselves, as the operator and admins see and change them.

use std::io;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::name::{check_name, check_password, folded};
use super::store::unfit;
use super::{Account, Accounts, Refused, ledger, links};
use crate::share::{Access, RESERVED, RelPath, Visitor};

/// How often it is written down that an account is in use, in seconds.
const SEEN: i64 = 60;

/// An account and the hash of its password.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) account: Account,
    pub(super) hash: Arc<str>,
}

/// All of an account that decides what its sessions may do: while it is the
/// same, they may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    created: i64,
    hash: Arc<str>,
    role: Access,
    home: RelPath,
}

/// The columns that [`read`] reads.
const COLUMNS: &str = "SELECT name, password, role, home, quota, created, seen FROM accounts";

fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    let (name, hash, role): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let home: Vec<u8> = row.get(3)?;
    let quota: Option<i64> = row.get(4)?;
    Ok(Found {
        account: Account {
            name: name.into(),
            role: role
                .parse()
                .map_err(|_| unfit("it has an unknown role in it"))?,
            home: RelPath::root()
                .resolve(&home)
                .map_err(|_| unfit("it has a home in it that is no path"))?,
            quota: quota.map(|quota| u64::try_from(quota).unwrap_or_default()),
            created: row.get(5)?,
            seen: row.get(6)?,
            temporary: false,
        },
        hash: hash.into(),
    })
}

/// Sizes as SQLite has them.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Adds an account, unless there is one of its name.
pub(super) fn store_account(
    db: &Connection,
    account: &Account,
    hash: &str,
    by: &Visitor,
    act: &str,
) -> rusqlite::Result<bool> {
    let added = db.execute(
        "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        params![
            &*account.name,
            folded(&account.name),
            hash,
            account.role.as_str(),
            account.home.as_bytes(),
            account.quota.map(size),
            account.created,
            account.seen,
        ],
    )?;
    if added == 1 {
        let detail = format!("{} {}", account.name, account.role);
        ledger::note(db, account.created, by, act, "", &detail)?;
    }
    Ok(added == 1)
}

impl Accounts {
    /// Adds an account for this run of the program, in place of one in the
    /// database that has the same name.
    ///
    /// # Errors
    /// [`Refused::Unfit`]; [`Refused::Taken`] where this has been done already.
    pub fn add_temporary(&self, name: &[u8], password: &[u8], role: Access) -> Result<(), Refused> {
        let name = check_name(name).map_err(Refused::Unfit)?;
        check_password(password).map_err(Refused::Unfit)?;
        check_role(role)?;
        if self.temporary_named(|other| folded(other) == folded(name)) {
            return Err(Refused::Taken);
        }
        let hash = self.hash(password)?.into();
        let account = Account {
            name: name.into(),
            role,
            home: RelPath::root(),
            quota: None,
            created: self.now(),
            seen: None,
            temporary: true,
        };
        let mut temporary = self
            .0
            .temporary
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        temporary.push(Found { account, hash });
        Ok(())
    }

    /// Whether there is an account for this run of such a name.
    pub(super) fn temporary_named(&self, is: impl Fn(&str) -> bool) -> bool {
        self.temporary_that(|account| is(&account.name)).is_some()
    }

    fn temporary_that(&self, is: impl Fn(&Account) -> bool) -> Option<Found> {
        let temporary = self
            .0
            .temporary
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        temporary.iter().find(|found| is(&found.account)).cloned()
    }

    pub(super) fn find(&self, name: &str) -> io::Result<Option<Found>> {
        if let Some(found) = self.temporary_that(|account| &*account.name == name) {
            return Ok(Some(found));
        }
        self.0.store.read(|db| {
            db.prepare_cached(&format!("{COLUMNS} WHERE name = ?"))?
                .query_row([name], read)
                .optional()
        })
    }

    /// The standing of an account; `None` if there is no such account.
    ///
    /// # Errors
    /// The database's.
    pub fn standing(&self, name: &str) -> io::Result<Option<Standing>> {
        Ok(self.find(name)?.map(|found| Standing {
            created: found.account.created,
            hash: found.hash,
            role: found.account.role,
            home: found.account.home,
        }))
    }

    /// The same for what a peer says, which asks the database in any case.
    pub(super) fn find_bytes(&self, name: &[u8]) -> io::Result<Option<Found>> {
        self.find(std::str::from_utf8(name).unwrap_or_default())
    }

    /// Writes down that an account is in use, if that wasn't done lately. That
    /// it can't be done now is no reason to refuse anything, or to wait.
    pub(super) fn touch(&self, account: &mut Account) {
        let now = self.now();
        let lately = account
            .seen
            .is_some_and(|seen| (0..SEEN).contains(&(now - seen)));
        if lately || account.temporary {
            return;
        }
        account.seen = Some(now);
        self.0.store.write_in_passing(|db| {
            db.prepare_cached("UPDATE accounts SET seen = ? WHERE name = ?")?
                .execute(params![now, &*account.name])
        });
    }

    /// The account of this name.
    ///
    /// # Errors
    /// The database's.
    pub fn account(&self, name: &str) -> io::Result<Option<Account>> {
        Ok(self.find(name)?.map(|found| found.account))
    }

    /// All accounts, those for this run included, by name.
    ///
    /// # Errors
    /// The database's.
    pub fn list(&self) -> io::Result<Vec<Account>> {
        let mut accounts = self.0.store.read(|db| {
            db.prepare(COLUMNS)?
                .query_map([], |row| Ok(read(row)?.account))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        accounts.retain(|account| !self.temporary_named(|name| *name == *account.name));
        let temporary = self
            .0
            .temporary
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        accounts.extend(temporary.iter().map(|found| found.account.clone()));
        accounts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(accounts)
    }

    /// Adds an account. Any password but the empty one will do: whoever gives
    /// it is responsible.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn add(
        &self,
        name: &[u8],
        password: &[u8],
        role: Access,
        home: RelPath,
        quota: Option<u64>,
        by: &Visitor,
    ) -> Result<Account, Refused> {
        let name = check_name(name).map_err(Refused::Unfit)?;
        check_password(password).map_err(Refused::Unfit)?;
        check_role(role)?;
        check_home(&home)?;
        if self.is_taken(name)? {
            return Err(Refused::Taken);
        }
        let hash = self.hash(password)?;
        let account = Account {
            name: name.into(),
            role,
            home,
            quota,
            created: self.now(),
            seen: None,
            temporary: false,
        };
        let store = &self.0.store;
        if !store.write(|db| store_account(db, &account, &hash, by, "account added"))? {
            return Err(Refused::Taken);
        }
        ledger::tell(by, "account added", "", &format!("{name} {role}"));
        Ok(account)
    }

    /// Gives an account another password, which ends all its sessions.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn set_password(&self, name: &str, password: &[u8], by: &Visitor) -> Result<(), Refused> {
        check_password(password).map_err(Refused::Unfit)?;
        self.put_password(name, password, by)
    }

    pub(super) fn put_password(
        &self,
        name: &str,
        password: &[u8],
        by: &Visitor,
    ) -> Result<(), Refused> {
        self.check_lasting(name)?;
        let hash = self.hash(password)?;
        self.change(name, "password", &hash, by, "password changed", "", |db| {
            db.execute("DELETE FROM sessions WHERE account = ?", [name])
        })
    }

    /// Gives an account another role, which holds from its next request on.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn set_role(&self, name: &str, role: Access, by: &Visitor) -> Result<(), Refused> {
        check_role(role)?;
        self.check_lasting(name)?;
        let role = role.as_str();
        self.change(name, "role", &role, by, "role changed", role, |_| Ok(0))
    }

    /// Gives an account another folder as the root of all it sees.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn set_home(&self, name: &str, home: &RelPath, by: &Visitor) -> Result<(), Refused> {
        check_home(home)?;
        self.check_lasting(name)?;
        let (bytes, detail) = (home.as_bytes(), home.to_string());
        self.change(name, "home", &bytes, by, "home changed", &detail, |_| Ok(0))
    }

    /// Lets an account store so many bytes, or as many as there is room for.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn set_quota(&self, name: &str, quota: Option<u64>, by: &Visitor) -> Result<(), Refused> {
        self.check_lasting(name)?;
        let detail = quota.map_or_else(|| "none".into(), |quota| quota.to_string());
        let quota = quota.map(size);
        self.change(name, "quota", &quota, by, "quota changed", &detail, |_| {
            Ok(0)
        })
    }

    /// Removes an account and ends its sessions and share links. Its files stay, and belong to
    /// nobody: they count against no quota, neither against that of a later
    /// account of the same name.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn remove(&self, name: &str, by: &Visitor) -> Result<(), Refused> {
        self.check_lasting(name)?;
        let now = self.now();
        let removed = self.0.store.write(|db| {
            for sql in [
                "DELETE FROM sessions WHERE account = ?",
                "DELETE FROM owned WHERE account = ?",
            ] {
                db.execute(sql, [name])?;
            }
            links::remove_of(db, name)?;
            let removed = db.execute("DELETE FROM accounts WHERE name = ?", [name])?;
            if removed == 1 {
                ledger::note(db, now, by, "account removed", "", name)?;
            }
            Ok(removed)
        })?;
        if removed == 0 {
            return Err(Refused::Unknown);
        }
        ledger::tell(by, "account removed", "", name);
        Ok(())
    }

    /// Sets a column of an account, and what goes with it.
    #[allow(
        clippy::too_many_arguments,
        reason = "one statement for each column, and this is what they differ in"
    )]
    fn change(
        &self,
        name: &str,
        column: &str,
        value: &dyn ToSql,
        by: &Visitor,
        act: &str,
        detail: &str,
        also: impl FnOnce(&Connection) -> rusqlite::Result<usize>,
    ) -> Result<(), Refused> {
        let now = self.now();
        let detail = format!("{name} {detail}");
        let detail = detail.trim_end();
        let changed = self.0.store.write(|db| {
            let sql = format!("UPDATE accounts SET {column} = ? WHERE name = ?");
            let changed = db.execute(&sql, params![value, name])?;
            if changed == 1 {
                also(db)?;
                ledger::note(db, now, by, act, "", detail)?;
            }
            Ok(changed)
        })?;
        if changed == 0 {
            return Err(Refused::Unknown);
        }
        ledger::tell(by, act, "", detail);
        Ok(())
    }

    /// What is given on the command line is changed there.
    fn check_lasting(&self, name: &str) -> Result<(), Refused> {
        if self.temporary_named(|other| other == name) {
            return Err(Refused::Unfit(
                "this account is for this run only; change it where --user is given",
            ));
        }
        Ok(())
    }
}

/// An account that may do nothing is none.
fn check_role(role: Access) -> Result<(), Refused> {
    match role {
        Access::None => Err(Refused::Unfit("give read, upload, write or admin")),
        _ => Ok(()),
    }
}

/// What visitors never see is nobody's home.
fn check_home(home: &RelPath) -> Result<(), Refused> {
    let reserved = |name: &[u8]| name.eq_ignore_ascii_case(RESERVED);
    if home.components().any(reserved) {
        return Err(Refused::Unfit("no home is in .hythe, which is our own"));
    }
    Ok(())
}

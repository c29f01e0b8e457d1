//! Where credentials become a [`View`].

use std::io;
use std::sync::Arc;

use hythe_net::Addr;

use super::{Account, Accounts};
use crate::share::{Access, Share, View, Visitor};

/// A share, and who may do what in it. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Terms>);

#[derive(Debug)]
struct Terms {
    share: Share,
    strangers: Access,
    accounts: Option<Accounts>,
    register: Access,
    register_quota: Option<u64>,
}

impl Gate {
    /// A gate without accounts, through which everybody comes with this access.
    pub fn new(share: Share, strangers: Access) -> Self {
        Self(Arc::new(Terms {
            share,
            strangers,
            accounts: None,
            register: Access::None,
            register_quota: None,
        }))
    }

    /// The gate with accounts; visitors may make their own with the role
    /// `register`, unless that is [`Access::None`].
    pub fn with_accounts(self, accounts: Accounts, register: Access) -> Self {
        Self(Arc::new(Terms {
            share: self.0.share.clone(),
            strangers: self.0.strangers,
            accounts: Some(accounts),
            register,
            register_quota: self.0.register_quota,
        }))
    }

    /// The gate with a quota for the accounts that visitors make.
    pub fn with_register_quota(self, quota: Option<u64>) -> Self {
        Self(Arc::new(Terms {
            share: self.0.share.clone(),
            strangers: self.0.strangers,
            accounts: self.0.accounts.clone(),
            register: self.0.register,
            register_quota: quota,
        }))
    }

    /// What is shared.
    pub fn share(&self) -> &Share {
        &self.0.share
    }

    /// What a visitor without an account may do.
    pub fn strangers(&self) -> Access {
        self.0.strangers
    }

    /// The accounts, if there are any.
    pub fn accounts(&self) -> Option<&Accounts> {
        self.0.accounts.as_ref()
    }

    /// The role of those who register; [`Access::None`] where nobody can.
    pub fn register(&self) -> Access {
        self.0.register
    }

    /// How many bytes each of those who register may store.
    pub fn register_quota(&self) -> Option<u64> {
        self.0.register_quota
    }

    /// The view of a visitor without an account.
    pub fn stranger(&self, protocol: &'static str, address: &Addr) -> View {
        let visitor = Visitor {
            account: None,
            protocol,
            address: Some(address.clone()),
        };
        self.0.share.view_of(self.0.strangers, visitor)
    }

    /// The view of an account: from its home down, with its role.
    ///
    /// # Errors
    /// Where the home can be neither opened nor made.
    pub fn view(
        &self,
        account: &Account,
        protocol: &'static str,
        address: &Addr,
    ) -> io::Result<View> {
        let visitor = Visitor {
            account: Some(Arc::clone(&account.name)),
            protocol,
            address: Some(address.clone()),
        };
        let share = self.0.share.below(&account.home)?;
        Ok(share.view_of(account.role, visitor))
    }
}

//! Sessions with one server, kept from one operation to the next.

use std::cell::RefCell;

use crate::client::{Login, Options, Reason, Remote, Result, Url, connect};

/// Sessions with the server of a URL. As many are opened as are needed at one
/// time.
pub struct Connections {
    url: Url,
    options: Options,
    /// Who we have become since.
    login: RefCell<Option<Login>>,
    idle: RefCell<Vec<Box<dyn Remote>>>,
}

impl Connections {
    /// None yet.
    pub fn new(url: Url, options: Options) -> Self {
        Self {
            url,
            options,
            login: RefCell::default(),
            idle: RefCell::default(),
        }
    }

    /// Where they lead.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Works with a session that nobody else uses just now. It is kept for the
    /// next unless the work is given up in the middle, or fails such that nobody
    /// knows what the server says next.
    ///
    /// # Errors
    /// Those of connecting and logging in, and the work's own.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&mut dyn Remote) -> Result<T>) -> Result<T> {
        let idle = self.idle.borrow_mut().pop();
        let mut remote = match idle {
            Some(remote) => remote,
            None => self.connect().await?,
        };
        let result = work(&mut *remote).await;
        let is_clear = match &result {
            Ok(_) => true,
            Err(error) => matches!(
                error.reason,
                Reason::NotFound | Reason::NotAllowed | Reason::Exists | Reason::Unsupported
            ),
        };
        if is_clear {
            self.idle.borrow_mut().push(remote);
        }
        result
    }

    async fn connect(&self) -> Result<Box<dyn Remote>> {
        let login = self.login.borrow().clone();
        let url = Url {
            login: login.or_else(|| self.url.login.clone()),
            ..self.url.clone()
        };
        connect(url, self.options.clone()).await
    }

    /// Goes on as somebody else, in all sessions from now on.
    ///
    /// # Errors
    /// [`Reason::NotAllowed`]; then nothing has changed.
    pub async fn log_in(&self, login: Login) -> Result<()> {
        let next = login.clone();
        let mut mine = self.idle.take();
        let logged_in = self
            .with(async move |remote| remote.log_in(next).await)
            .await;
        match logged_in {
            // The others are still who they were.
            Ok(()) => _ = self.login.replace(Some(login)),
            Err(_) => {
                self.idle.borrow_mut().clear();
                self.idle.borrow_mut().append(&mut mine);
            }
        }
        logged_in
    }

    /// Takes leave of the server, as its protocol has it.
    pub async fn close(&self) {
        let idle = self.idle.take();
        for mut remote in idle {
            // Whether it hears of it makes no difference.
            remote.close().await.ok();
        }
    }
}

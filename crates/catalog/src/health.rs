//! Whether the database itself is as it should be.

use jiff::Timestamp;

use crate::database::moment;
use crate::{Catalog, Result};

impl Catalog {
    /// What is damaged, a line each, at most twenty; nothing if all is whole. A server is not
    /// asked: it looks after its files itself.
    ///
    /// Errors: `Corrupt` for a file that cannot be looked through at all.
    pub fn quick_check(&self) -> Result<Vec<String>> {
        self.read(|transaction| transaction.quick_check())
    }

    /// The time by the clock of the database's server, if there is one.
    pub fn server_time(&self) -> Result<Option<Timestamp>> {
        let found = self.read(|transaction| transaction.server_time())?;
        found.map(moment).transpose()
    }
}

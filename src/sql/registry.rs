//! The views and temporary tables of a session.
//!
//! Memory: texts, and temporary tables, whose rows lie on evictable pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion_sql::sqlparser::ast::Query;

use super::statements::IfExists;
use crate::error::{Error, Result};
use crate::io::Table;
use crate::operators::stored::{StoredRows, StoredTable};
use crate::physical::FileTable;
use crate::plan::Effort;

/// What names without a path stand for, and how hard queries are optimized.
#[derive(Default)]
pub struct Registry {
    named: Mutex<BTreeMap<String, Named>>,
    effort: Effort,
}

/// A view or a temporary table.
#[derive(Clone)]
pub(super) enum Named {
    View(View),
    Table(Arc<FileTable>),
}

/// A query under a name. It is planned anew whenever it is used.
#[derive(Clone)]
pub(super) struct View {
    pub(super) query: Box<Query>,
    /// Other names for the first columns.
    pub(super) columns: Vec<String>,
}

impl Registry {
    /// Without any names.
    pub fn new(effort: Effort) -> Self {
        Registry { effort, ..Registry::default() }
    }

    pub(super) fn effort(&self) -> Effort {
        self.effort
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, name: &str) -> Option<Named> {
        self.lock().get(name).cloned()
    }

    /// Whether a statement that creates `name` has anything to do.
    ///
    /// # Errors
    /// When there is one already and nothing was said about that.
    pub fn may_create(&self, name: &str, if_exists: IfExists) -> Result<bool> {
        match (self.lock().contains_key(name), if_exists) {
            (false, _) | (true, IfExists::Replace) => Ok(true),
            (true, IfExists::Keep) => Ok(false),
            (true, IfExists::Fail) => {
                Err(Error::usage(format!("there is a view or table {name} already")).with_hint("CREATE OR REPLACE .."))
            }
        }
    }

    pub(super) fn add_view(&self, name: String, view: View) {
        self.lock().insert(name, Named::View(view));
    }

    /// Adds a temporary table of `rows`.
    pub fn add_table(&self, name: String, rows: Arc<StoredRows>) {
        let table: Arc<dyn Table> = Arc::new(StoredTable::new(name.clone(), rows));
        self.lock().insert(name, Named::Table(Arc::new(FileTable::new(table))));
    }

    pub(super) fn drop_named(&self, names: &[String], views: bool, if_exists: bool) -> Result<()> {
        let mut named = self.lock();
        for name in names {
            let (found, is_view) = match named.get(name) {
                None if if_exists => continue,
                None => return Err(Error::usage(format!("there is no view or table {name}"))),
                Some(Named::View(_)) => ("a view", true),
                Some(Named::Table(_)) => ("a table", false),
            };
            if is_view != views {
                let verb = if is_view { "DROP VIEW" } else { "DROP TABLE" };
                return Err(Error::usage(format!("{name} is {found}")).with_hint(format!("{verb} {name}")));
            }
            named.remove(name);
        }
        Ok(())
    }

    /// Names, whether each is a view, and rows where they are known.
    pub(super) fn list(&self) -> Vec<(String, &'static str, Option<u64>)> {
        let describe = |(name, named): (&String, &Named)| match named {
            Named::View(_) => (name.clone(), "view", None),
            Named::Table(table) => (name.clone(), "temporary table", table.statistics().n_rows),
        };
        self.lock().iter().map(describe).collect()
    }
}

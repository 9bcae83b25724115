//! The views and temporary tables of a session.
//!
//! Memory: texts, and temporary tables, whose rows lie on evictable pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion_expr::LogicalPlan;
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
    /// A plan that was not written as text.
    Frame(Arc<LogicalPlan>),
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

    /// Whether a statement that creates a view or else a table `name` has anything to do.
    ///
    /// # Errors
    /// When there is one already and nothing was said about that, or it is of the other kind: a view does not take the
    /// place of rows.
    pub(super) fn may_create(&self, name: &str, view: bool, if_exists: IfExists) -> Result<bool> {
        let named = self.lock();
        match (named.get(name), if_exists) {
            (None, _) => Ok(true),
            (Some(_), IfExists::Keep) => Ok(false),
            (Some(_), IfExists::Fail) => {
                Err(Error::usage(format!("there is a view or table {name} already")).with_hint("CREATE OR REPLACE .."))
            }
            (Some(found), IfExists::Replace) => found.check_kind(name, view).map(|()| true),
        }
    }

    pub(super) fn add_view(&self, name: String, view: View) {
        self.lock().insert(name, Named::View(view));
    }

    /// Adds a view of `plan`; a view of that name is replaced.
    ///
    /// # Errors
    /// When there is a table of that name: a view does not take the place of rows.
    pub(crate) fn add_frame(&self, name: &str, plan: LogicalPlan) -> Result<()> {
        let mut named = self.lock();
        named.get(name).map_or(Ok(()), |found| found.check_kind(name, true))?;
        named.insert(name.to_string(), Named::Frame(Arc::new(plan)));
        Ok(())
    }

    /// Adds a temporary table of `rows`.
    pub fn add_table(&self, name: String, rows: Arc<StoredRows>) {
        let table: Arc<dyn Table> = Arc::new(StoredTable::new(name.clone(), rows));
        self.lock().insert(name, Named::Table(Arc::new(FileTable::new(table))));
    }

    pub(super) fn drop_named(&self, names: &[String], views: bool, if_exists: bool) -> Result<()> {
        let mut named = self.lock();
        // All or none.
        for name in names {
            match named.get(name) {
                None if if_exists => {}
                None => return Err(Error::usage(format!("there is no view or table {name}"))),
                Some(found) => found.check_kind(name, views)?,
            }
        }
        named.retain(|name, _| !names.contains(name));
        Ok(())
    }

    /// Names, whether each is a view, and rows where they are known.
    pub(super) fn list(&self) -> Vec<(String, &'static str, Option<u64>)> {
        let describe = |(name, named): (&String, &Named)| match named {
            Named::View(_) | Named::Frame(_) => (name.clone(), "view", None),
            Named::Table(table) => (name.clone(), "temporary table", table.statistics().n_rows),
        };
        self.lock().iter().map(describe).collect()
    }
}

impl Named {
    fn check_kind(&self, name: &str, view: bool) -> Result<()> {
        let (found, verb, is_view) = match self {
            Named::View(_) | Named::Frame(_) => ("a view", "DROP VIEW", true),
            Named::Table(_) => ("a table", "DROP TABLE", false),
        };
        match is_view == view {
            true => Ok(()),
            false => Err(Error::usage(format!("{name} is {found}")).with_hint(format!("{verb} {name}"))),
        }
    }
}

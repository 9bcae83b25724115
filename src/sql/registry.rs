//! The views and temporary tables of a session.
//!
//! Memory: texts, and temporary tables, whose rows lie on evictable pages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Whether names stand for steps, whose rows have an order.
    steps: AtomicBool,
}

/// A view or a temporary table.
#[derive(Clone)]
pub(super) enum Named {
    View(View),
    Table(Arc<FileTable>),
    /// A query that was planned once and for all: a step of a pipeline file.
    Planned(Arc<LogicalPlan>),
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

    /// Names for steps follow.
    pub(super) fn expect_steps(&self) {
        self.steps.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_steps(&self) -> bool {
        self.steps.load(Ordering::Relaxed)
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
    pub(crate) fn may_create(&self, name: &str, view: bool, if_exists: IfExists) -> Result<bool> {
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

    /// Adds a temporary table of `rows`.
    pub fn add_table(&self, name: String, rows: Arc<StoredRows>) {
        let table: Arc<dyn Table> = Arc::new(StoredTable::new(name.clone(), rows));
        self.lock().insert(name, Named::Table(Arc::new(FileTable::new(table))));
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Adds or replaces a table that is open already.
    pub fn add_open_table(&self, name: String, table: Arc<dyn Table>) {
        self.lock().insert(name, Named::Table(Arc::new(FileTable::new(table))));
    }

    /// Adds or replaces a name for `plan`.
    pub(crate) fn add_planned(&self, name: String, plan: LogicalPlan) {
        self.lock().insert(name, Named::Planned(Arc::new(plan)));
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
            Named::View(_) | Named::Planned(_) => (name.clone(), "view", None),
            Named::Table(table) => (name.clone(), "temporary table", table.statistics().n_rows),
        };
        self.lock().iter().map(describe).collect()
    }
}

impl Named {
    fn check_kind(&self, name: &str, view: bool) -> Result<()> {
        let (found, verb, is_view) = match self {
            Named::View(_) | Named::Planned(_) => ("a view", "DROP VIEW", true),
            Named::Table(_) => ("a table", "DROP TABLE", false),
        };
        match is_view == view {
            true => Ok(()),
            false => Err(Error::usage(format!("{name} is {found}")).with_hint(format!("{verb} {name}"))),
        }
    }
}

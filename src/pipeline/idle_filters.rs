//! Filters of the file that no row of an input fulfils: more often a slip (`UCSX`, `1` for a text `01`) than a wish.
//!
//! Where nothing came out of an input it is asked again, a filter at a time, for one row. That may read the input once
//! more; in an ordinary run, in which something comes out, nothing is asked.
//!
//! Memory: that of a filtered scan.

use std::sync::Arc;

use super::fields::Text;
use super::one_row::OneRow;
use super::prepare::Prepared;
use super::record::StepRecord;
use super::sql_text::SqlText;
use super::step_sql::conditions_after;
use crate::error::Result;
use crate::exec::CancelToken;

/// What to say of the filters of those inputs among `steps` that gave no row.
///
/// # Errors
/// What reading the input says.
pub(super) fn warnings(prepared: &Prepared<'_>, steps: &[StepRecord], cancel: &CancelToken) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for (idx, input) in prepared.spec.inputs.iter().enumerate() {
        let gave_nothing = steps.iter().any(|step| step.id == input.id.text && step.rows == Some(0));
        let Some(filters) = prepared.filters_of.get(idx).filter(|filters| gave_nothing && !filters.is_empty()) else {
            continue;
        };
        let name = format!("{} before filters", input.id.text);
        prepared.session.add_table(&name, prepared.inputs[idx].table.clone());
        let has_row = |conditions: &[Text]| has_row(prepared, &name, conditions, cancel);
        if !has_row(&[])? {
            continue;
        }
        let mut idle = Vec::new();
        for filter in filters {
            if !has_row(std::slice::from_ref(filter))? {
                idle.push(filter);
            }
        }
        told.extend(idle.iter().map(|filter| {
            let at = prepared.source.at(filter.place);
            format!("no row of {:?} fulfils the filter {} ({at})", input.id.text, filter.text)
        }));
        if idle.is_empty() && !has_row(filters)? {
            told.push(format!("no row of {:?} fulfils all filters, though some fulfil each", input.id.text));
        }
    }
    Ok(told)
}

/// Whether a row of the table `name` fulfils all `conditions`.
fn has_row(prepared: &Prepared<'_>, name: &str, conditions: &[Text], cancel: &CancelToken) -> Result<bool> {
    let mut sql = SqlText::new("SELECT 1 AS found FROM ");
    sql.name(name);
    conditions_after(&mut sql, conditions);
    sql.push(" LIMIT 1");
    let query = prepared.session.further_query(sql.as_str())?;
    let sink = OneRow::default();
    let result = sink.clone();
    query.into_run_to(cancel.clone(), |_, _, _| Ok(Arc::new(sink)))?.execute()?;
    Ok(result.take().is_some())
}

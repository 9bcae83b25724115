//! `FROM read_csv('path', delimiter = ';', skip_rows = 2)`: a CSV file with options of its own.
//!
//! The planner knows arguments without names only, so a named one travels as the text `name=value`.

use std::ops::ControlFlow;

use datafusion_common::ScalarValue;
use datafusion_expr::Expr as PlanExpr;
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, FunctionArg, FunctionArgExpr, ObjectName, Value};

use crate::error::{Error, Result};

/// The only function that is a table of files.
const NAME: &str = "read_csv";

/// Writes named arguments of `read_csv` as texts.
pub(super) fn rewrite(name: &ObjectName, args: &mut [FunctionArg]) -> ControlFlow<Error> {
    if !name.to_string().eq_ignore_ascii_case(NAME) {
        return ControlFlow::Continue(());
    }
    for arg in args.iter_mut().skip(1) {
        let Some(text) = as_setting(arg) else {
            let error = Error::usage(format!("{arg} is no option of {NAME}"));
            return ControlFlow::Break(
                error.with_hint(format!("write {NAME}('a.csv', delimiter = ';', header = true)")),
            );
        };
        let literal = Expr::Value(Value::SingleQuotedString(text).into());
        *arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(literal));
    }
    ControlFlow::Continue(())
}

/// `name = value`, `name => value` or `name := value` as `name=value`.
fn as_setting(arg: &FunctionArg) -> Option<String> {
    let (name, value) = match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (name, value),
        FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => (name, value),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) => {
            match left.as_ref() {
                Expr::Identifier(name) => (name, right.as_ref()),
                _ => return None,
            }
        }
        _ => return None,
    };
    let Expr::Value(value) = value else { return None };
    let value = match &value.value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text.clone(),
        Value::Number(digits, _) => digits.clone(),
        Value::Boolean(is_true) => is_true.to_string(),
        _ => return None,
    };
    Some(format!("{}={value}", name.value))
}

/// The path and the options in the arguments of a table function.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for another function or an argument that is no text.
pub(super) fn arguments(name: &str, args: &[PlanExpr]) -> Result<(String, Vec<(String, String)>)> {
    if !name.eq_ignore_ascii_case(NAME) {
        return Err(Error::usage(format!("there is no table function {name}")).with_hint(format!(
            "files are named in single quotes; {NAME}('a.csv', delimiter = ';') reads one its own way"
        )));
    }
    let texts = args.iter().map(|arg| match arg {
        PlanExpr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text.clone()),
        _ => None,
    });
    let mut texts = texts.collect::<Option<Vec<String>>>().unwrap_or_default().into_iter();
    let Some(path) = texts.next() else {
        return Err(Error::usage(format!("{NAME} needs a path")).with_hint(format!("write {NAME}('a.csv')")));
    };
    let split = |text: String| text.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
    Ok((path, texts.filter_map(split).collect()))
}

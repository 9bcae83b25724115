//! ASOF JOIN: for each row the nearest earlier (or later) row of another table.
//!
//! The parser knows one form, `ASOF JOIN t MATCH_CONDITION (a.at >= t.at) ON a.k = t.k`; the other, with the comparison in ON
//! and LEFT where rows without a match stay, reaches it as a GLOBAL join, which is not supported otherwise. The planner knows
//! neither: it is given an ordinary join whose condition is wrapped in a function, by which `plan/` finds it.
//!
//! Memory: none.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Join,
    JoinConstraint, JoinOperator, ObjectName,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::dialect::SqlDialect;
use crate::error::Error;
use crate::plan::ASOF_CONDITION;

/// A parser at the beginning of `text`, which is a part of another one and begins there at `line` and `column`, both counted
/// from 0.
pub(super) fn parser_of(text: &str, (line, column): (u64, u64)) -> Result<Parser<'static>, ParserError> {
    let move_down = |place: &mut Location| {
        // Line 0 is no place.
        place.column += if place.line == 1 { column } else { 0 };
        place.line += if place.line > 0 { line } else { 0 };
    };
    let tokens = Tokenizer::new(&SqlDialect, text).tokenize_with_location();
    let mut tokens = tokens.map_err(|mut error| {
        move_down(&mut error.location);
        error
    })?;
    for token in &mut tokens {
        move_down(&mut token.span.start);
        move_down(&mut token.span.end);
    }
    mark_joins(&mut tokens)?;
    Ok(Parser::new(&SqlDialect).with_tokens_with_locations(tokens))
}

/// Writes GLOBAL for ASOF in front of joins that have their comparison in ON.
fn mark_joins(tokens: &mut [TokenWithSpan]) -> Result<(), ParserError> {
    let words: Vec<usize> =
        (0..tokens.len()).filter(|&idx| !matches!(tokens[idx].token, Token::Whitespace(_))).collect();
    let keyword = |tokens: &[TokenWithSpan], place: usize| match words.get(place).map(|&idx| &tokens[idx].token) {
        Some(Token::Word(Word { keyword, quote_style: None, .. })) => *keyword,
        _ => Keyword::NoKeyword,
    };
    for place in 0..words.len() {
        let found = keyword(tokens, place);
        let next = keyword(tokens, place + 1);
        let begins_join =
            matches!(next, Keyword::JOIN | Keyword::LEFT | Keyword::INNER | Keyword::RIGHT | Keyword::FULL);
        if found == Keyword::GLOBAL && begins_join {
            return Err(ParserError::ParserError("GLOBAL JOIN is not supported".to_string()));
        }
        if found == Keyword::ASOF
            && begins_join
            && !has_match_condition(tokens, &words[place + 1..])
            && let Token::Word(word) = &mut tokens[words[place]].token
        {
            *word = Word { value: "GLOBAL".to_string(), quote_style: None, keyword: Keyword::GLOBAL };
        }
    }
    Ok(())
}

/// Whether MATCH_CONDITION comes before the condition or the end of the join that begins at the first of `words`.
fn has_match_condition(tokens: &[TokenWithSpan], words: &[usize]) -> bool {
    let mut depth = 0;
    for (place, &idx) in words.iter().enumerate() {
        match &tokens[idx].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::SemiColon => return false,
            Token::Word(word) if depth == 0 => match word.keyword {
                Keyword::MATCH_CONDITION => return true,
                Keyword::ON | Keyword::USING | Keyword::WHERE | Keyword::GROUP | Keyword::ORDER => return false,
                Keyword::JOIN if place > 1 => return false,
                _ => {}
            },
            _ => {}
        }
    }
    false
}

/// Makes an ordinary join of an as-of join.
pub(super) fn rewrite(join: &mut Join) -> ControlFlow<Error> {
    match &mut join.join_operator {
        JoinOperator::AsOf { match_condition, constraint } => {
            let mut condition = match_condition.clone();
            match constraint {
                JoinConstraint::None => {}
                JoinConstraint::On(keys) => condition = and(std::mem::replace(keys, condition.clone()), condition),
                _ => return refused("ASOF JOIN with USING or NATURAL is not supported"),
            }
            join.join_operator = JoinOperator::Left(JoinConstraint::On(wrapped(condition)));
            ControlFlow::Continue(())
        }
        _ if !join.global => ControlFlow::Continue(()),
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => match constraint {
            JoinConstraint::On(condition) => {
                join.global = false;
                let taken = std::mem::replace(condition, Expr::value(false_value()));
                *condition = wrapped(taken);
                ControlFlow::Continue(())
            }
            _ => refused("ASOF JOIN needs ON with a comparison"),
        },
        _ => refused("ASOF JOIN is inner or LEFT"),
    }
}

fn refused(message: &str) -> ControlFlow<Error> {
    let hint = "write a ASOF [LEFT] JOIN b ON a.k = b.k AND a.t >= b.t";
    ControlFlow::Break(Error::usage(message).with_hint(hint))
}

fn false_value() -> datafusion_sql::sqlparser::ast::Value {
    datafusion_sql::sqlparser::ast::Value::Boolean(false)
}

fn and(left: Expr, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}

fn wrapped(condition: Expr) -> Expr {
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(condition));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_quote('"', ASOF_CONDITION)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

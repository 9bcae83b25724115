//! Fields of objects whose names are also those of functions without parentheses: `user.name`.

use datafusion_sql::sqlparser::ast::{AccessExpr, Expr, FunctionArguments, Ident, ObjectNamePart};

/// `a.b.c` as one name, where the parser has taken a part of it for a call; what follows in brackets stays.
pub(super) fn as_name(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return };
    let Some(first) = word(root) else { return };
    let mut name = vec![first];
    let words = access_chain.iter().map_while(|access| match access {
        AccessExpr::Dot(part) => word(part),
        AccessExpr::Subscript(_) => None,
    });
    name.extend(words);
    let rest = access_chain.split_off(name.len() - 1);
    let whole = match &name[..] {
        [only] => Expr::Identifier(only.clone()),
        _ => Expr::CompoundIdentifier(name),
    };
    *expr = match rest.is_empty() {
        true => whole,
        false => Expr::CompoundFieldAccess { root: Box::new(whole), access_chain: rest },
    };
}

/// A word by itself.
fn word(expr: &Expr) -> Option<Ident> {
    match expr {
        Expr::Identifier(word) => Some(word.clone()),
        Expr::Function(call) if call.args == FunctionArguments::None => match &call.name.0[..] {
            [ObjectNamePart::Identifier(word)] => Some(word.clone()),
            _ => None,
        },
        _ => None,
    }
}

//! COPY with the options of a partitioned output: `COPY (..) TO 'folder' (FORMAT parquet, PARTITION_BY (a, b), OVERWRITE)`.
//!
//! Memory: none. The surprising part: the parser knows these options only as another product spells them, outside the
//! parentheses. They are read here and handed on as what they are called there.

use datafusion_sql::sqlparser::ast::{
    CopyLegacyOption, CopyOption, CopySource, CopyTarget, Ident, Statement, UnloadPartitionBy,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::Token;

/// Reads a COPY that is partitioned or overwrites; any other is an error here.
pub(super) fn parse_partitioned(parser: &mut Parser) -> Result<Statement, ParserError> {
    parser.expect_keyword(Keyword::COPY)?;
    let source = parse_source(parser)?;
    parser.expect_keyword(Keyword::TO)?;
    let target = CopyTarget::File { filename: parser.parse_literal_string()? };
    let _ = parser.parse_keyword(Keyword::WITH);
    parser.expect_token(&Token::LParen)?;
    let (mut options, mut legacy_options) = (Vec::new(), Vec::new());
    loop {
        let option = parser.parse_identifier()?;
        match option.value.to_ascii_lowercase().as_str() {
            "format" => options.push(CopyOption::Format(parser.parse_identifier()?)),
            "header" => options.push(CopyOption::Header(parse_switch(parser))),
            "partition_by" => {
                let by = UnloadPartitionBy { columns: parse_columns(parser)?, include: false };
                legacy_options.push(CopyLegacyOption::PartitionBy(by));
            }
            "overwrite" | "overwrite_or_ignore" => {
                if parse_switch(parser) {
                    legacy_options.push(CopyLegacyOption::AllowOverwrite);
                }
            }
            other => return Err(ParserError::ParserError(format!("{other} is not read here"))),
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    if legacy_options.is_empty() {
        return Err(ParserError::ParserError("not partitioned".into()));
    }
    Ok(Statement::Copy { source, to: true, target, options, legacy_options, values: Vec::new() })
}

fn parse_source(parser: &mut Parser) -> Result<CopySource, ParserError> {
    if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        return Ok(CopySource::Query(query));
    }
    let table_name = parser.parse_object_name(false)?;
    let columns = parser.parse_parenthesized_column_list(IsOptional::Optional, false)?;
    Ok(CopySource::Table { table_name, columns })
}

/// `(a, b)` or one name.
fn parse_columns(parser: &mut Parser) -> Result<Vec<Ident>, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(vec![parser.parse_identifier()?]);
    }
    let columns = parser.parse_comma_separated(Parser::parse_identifier)?;
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

/// On, unless FALSE follows.
fn parse_switch(parser: &mut Parser) -> bool {
    parser.parse_one_of_keywords(&[Keyword::TRUE, Keyword::FALSE]) != Some(Keyword::FALSE)
}

//! What may run: one statement that reads, of a size that can be planned.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as Ast, Visit, Visitor, visit_relations};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::engine::user;
use crate::error::QueryError;

/// Longest statement in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most operators, weighted by how deep they make the plan: planning recurses once for each.
const MAX_WEIGHT: usize = 800;
/// Weight of a word that adds a relation.
const RELATION_WEIGHT: usize = 8;
/// Most table references after `WITH` queries are put in their places.
const MAX_RELATIONS: u64 = 200;
/// Deepest nesting of parentheses, cases and subqueries the parser follows.
const RECURSION: usize = 40;

/// Parses a statement and makes sure that it only reads.
pub(super) fn parse(sql: &str) -> Result<Statement, QueryError> {
    weigh(sql)?;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(RECURSION)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(user)?;
    let Some(statement) = statements.pop_front() else {
        return Err(invalid("the query is empty; send one SELECT statement"));
    };
    if !statements.is_empty() {
        return Err(invalid("send one statement at a time"));
    }
    let ast = reads(&statement)?;
    count_relations(ast)?;
    Ok(statement)
}

/// Whether the statement explains another, which must stay the root of its plan.
pub(super) fn is_plain_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(ast) if matches!(ast.as_ref(), Ast::Query(_)))
}

fn invalid(text: impl Into<String>) -> QueryError {
    QueryError::Invalid(text.into())
}

fn reads(statement: &Statement) -> Result<&Ast, QueryError> {
    match statement {
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::Statement(ast) => match ast.as_ref() {
            Ast::Query(_)
            | Ast::Explain { .. }
            | Ast::ExplainTable { .. }
            | Ast::ShowTables { .. }
            | Ast::ShowColumns { .. }
            | Ast::ShowVariable { .. }
            | Ast::ShowFunctions { .. } => Ok(ast),
            _ => Err(read_only()),
        },
        _ => Err(read_only()),
    }
}

pub(super) fn read_only() -> QueryError {
    invalid("only SELECT, WITH, EXPLAIN, DESCRIBE and SHOW are allowed: SQL here is read-only")
}

/// Bounds the depth of the syntax tree before it is built: a chain of operators nests one level for
/// each, and both planning and dropping it recurse.
fn weigh(sql: &str) -> Result<(), QueryError> {
    if sql.len() > MAX_BYTES {
        return Err(invalid(format!(
            "the query has {} bytes, at most {MAX_BYTES} are allowed; pass values as parameters",
            sql.len()
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|e| invalid(format!("sql parser error: {e}")))?;
    let weight: usize = tokens.iter().map(weight).sum();
    if weight > MAX_WEIGHT {
        return Err(invalid(
            "the query has too many operators and table references to be planned safely; use IN \
             lists instead of chains of OR, or split the query",
        ));
    }
    Ok(())
}

const fn weight(token: &Token) -> usize {
    match token {
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::Placeholder(_)
        | Token::EOF => 0,
        Token::Word(word) => match word.keyword {
            Keyword::SELECT
            | Keyword::JOIN
            | Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::LATERAL
            | Keyword::PIVOT
            | Keyword::UNPIVOT => RELATION_WEIGHT,
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::DIV
            | Keyword::EXISTS
            | Keyword::INTERVAL => 1,
            _ => 0,
        },
        _ => 1,
    }
}

/// Names of a query's relations, and the `WITH` queries anywhere in it.
#[derive(Default)]
struct Withs {
    by_name: HashMap<String, Vec<String>>,
}

impl Visitor for Withs {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
            let name = cte.alias.name.value.to_lowercase();
            self.by_name.entry(name).or_default().extend(relations(&*cte.query));
        }
        ControlFlow::Continue(())
    }
}

fn relations<V: Visit>(of: &V) -> Vec<String> {
    let mut names = Vec::new();
    let _ = visit_relations(of, |relation| {
        let last = relation.0.last().map(|part| part.to_string().to_lowercase());
        names.push(last.unwrap_or_default());
        ControlFlow::<()>::Continue(())
    });
    names
}

impl Withs {
    /// Tables a reference to the name stands for; a name that is being expanded counts as one.
    fn expanded(&self, name: &str, done: &mut HashMap<String, u64>) -> u64 {
        if let Some(known) = done.get(name) {
            return *known;
        }
        let Some(parts) = self.by_name.get(name) else { return 1 };
        done.insert(name.to_owned(), 1);
        let sum = parts.iter().fold(1u64, |n, part| n.saturating_add(self.expanded(part, done)));
        done.insert(name.to_owned(), sum);
        sum
    }
}

/// Refuses queries whose `WITH` parts multiply each other: each reference is planned anew.
fn count_relations(ast: &Ast) -> Result<(), QueryError> {
    let mut withs = Withs::default();
    let _ = ast.visit(&mut withs);
    let mut done = HashMap::new();
    let total = relations(ast)
        .iter()
        .fold(0u64, |n, name| n.saturating_add(withs.expanded(name, &mut done)));
    if total > MAX_RELATIONS {
        return Err(invalid(format!(
            "the query refers to {total} tables once its WITH parts are put in their places, at \
             most {MAX_RELATIONS} are allowed"
        )));
    }
    Ok(())
}

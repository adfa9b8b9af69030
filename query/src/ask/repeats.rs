//! Repeated calls of one trace: loops (N+1), retries and reads done twice.

use headrope_analysis::repeat::{self, Call, Repeat, RepeatKind};
use headrope_analysis::{CallChain, SpanKind};
use headrope_model::semconv;
use serde_json::Value;

use super::peer::Called;
use crate::answer::trace::{RepeatRow, TraceSpan};

/// Most repetitions told of a trace, those that take longest.
const MOST: usize = 100;
/// Most calls listed of one.
const MOST_CALLS: usize = 100;

/// First words of statements and commands that only read.
const READS: [&str; 14] = [
    "select",
    "get",
    "mget",
    "hget",
    "hmget",
    "hgetall",
    "exists",
    "find",
    "count",
    "scan",
    "lrange",
    "smembers",
    "zrange",
    "aggregate",
];

/// An outgoing call as its span tells it.
struct Said {
    target: String,
    identity: Option<String>,
    is_read: bool,
    is_resend: bool,
}

/// The attribute of a promoted column, under its present or an older name.
fn text<'a>(attributes: &'a Value, column: &str) -> Option<&'a str> {
    let promoted = semconv::SPAN.iter().find(|promoted| promoted.column == column)?;
    let mut keys = std::iter::once(promoted.key).chain(promoted.aliases.iter().copied());
    keys.find_map(|key| attributes.get(key)?.as_str()).filter(|text| !text.is_empty())
}

impl Said {
    fn of(span: &TraceSpan) -> Self {
        let attributes = &span.attributes;
        let text = |column| text(attributes, column);
        let method = text("http_request_method");
        let statement = text("db_query_text");
        let called = Called {
            name: &span.name,
            service: text("service_peer_name"),
            address: text("server_address"),
            db: text("db_system_name"),
            namespace: text("db_namespace"),
            summary: text("db_query_summary"),
            operation: text("db_operation_name"),
            collection: text("db_collection_name"),
            messaging: text("messaging_system"),
            destination: text("messaging_destination_name"),
            is_rpc: text("rpc_system_name").is_some(),
            is_http: method.is_some(),
            ..Called::default()
        };
        let (peer, _) = called.peer();
        let what = peer.statement.as_deref().unwrap_or(&span.name);
        let target = match *peer.name == *what {
            true => what.to_owned(),
            false => format!("{} {what}", peer.name),
        };
        let request = text("url_full").or_else(|| text("url_path"));
        let is_read = match called.db {
            Some(_) => {
                let begin = called.operation.or(statement).or(called.summary).unwrap_or(&span.name);
                let word = begin.split_whitespace().next().unwrap_or_default();
                READS.iter().any(|read| word.eq_ignore_ascii_case(read))
            }
            None => method.is_some_and(|method| matches!(method, "GET" | "HEAD")),
        };
        let resent = attributes.get("http.request.resend_count").and_then(Value::as_i64);
        Self {
            target,
            identity: match called.db {
                Some(_) => statement.filter(|text| is_whole(text)).map(str::to_owned),
                None => request.map(str::to_owned),
            },
            is_read,
            is_resend: resent.is_some_and(|times| times > 0),
        }
    }

    fn call(&self) -> Call<'_> {
        Call {
            target: &self.target,
            identity: self.identity.as_deref(),
            is_read: self.is_read,
            is_resend: self.is_resend,
        }
    }
}

/// Whether a statement has its values in it: without, those of two calls may differ.
fn is_whole(statement: &str) -> bool {
    let placeholder = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && !"?$%:@".contains(c));
        word == "?" || word == "%s" || word.starts_with(['$', ':', '@'])
    };
    !statement.split(|c: char| c.is_whitespace() || "(),=<>".contains(c)).any(placeholder)
}

/// Repetitions among the spans of a chain, those that take longest first. `span` has the span of a node, `shown` the place of a
/// node's span in the answer.
pub(super) fn repeats<'a>(
    chain: &CallChain,
    span: impl Fn(usize) -> Option<&'a TraceSpan>,
    shown: impl Fn(usize) -> Option<u32>,
) -> Vec<RepeatRow> {
    let said = |at: usize| {
        let node = chain.nodes.get(at)?;
        let is_call = matches!(node.kind, SpanKind::Client | SpanKind::Producer);
        is_call.then(|| span(at)).flatten().map(Said::of)
    };
    let said: Vec<Option<Said>> = (0..chain.nodes.len()).map(said).collect();
    let mut found = repeat::find(chain, |at| said.get(at)?.as_ref().map(Said::call));
    found.sort_by_key(|repeat| std::cmp::Reverse(repeat.time_ns));
    let row = |repeat: Repeat| RepeatRow {
        kind: match repeat.kind {
            RepeatKind::Loop => "loop",
            RepeatKind::Retry => "retry",
            RepeatKind::DuplicateRead => "duplicate_read",
        },
        caller: shown(repeat.caller),
        target: repeat.target,
        count: repeat.calls.len() as u64,
        calls: repeat.calls.into_iter().filter_map(&shown).take(MOST_CALLS).collect(),
        in_sequence: repeat.in_sequence as u64,
        succeeded: repeat.succeeded as u64,
        time_ns: repeat.time_ns,
        share: repeat.share,
    };
    found.into_iter().take(MOST).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn statements_with_placeholders_do_not_tell_calls_apart() {
        for text in ["SELECT * FROM t WHERE id = ?", "GET $1", "x IN (%s)", "a=:id", "a = @id"] {
            assert!(!is_whole(text), "{text}");
        }
        for text in
            ["SELECT * FROM t WHERE id = 7", "GET cart:17", "SELECT a::text FROM t", "a@b.c"]
        {
            assert!(is_whole(text), "{text}");
        }
    }
}

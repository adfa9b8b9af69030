//! Parameters of a request, each read once; what is left over is an error, so that a misspelt
//! parameter is not silently ignored.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use headrope_model::TimeRange;
use headrope_model::time::{NANOS_PER_HOUR, now_ns};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use crate::ask::MAX_LIMIT;
use crate::moment;

/// The parameters of a request that were not read yet.
#[derive(Debug)]
pub(super) struct Args {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Args {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|e| Problem::invalid(format!("query parameters: {e}")))?;
        Ok(Self { pairs, known: Vec::new() })
    }
}

impl Args {
    /// Every value of a parameter; empty ones count as absent.
    pub(super) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, rest) =
            std::mem::take(&mut self.pairs).into_iter().partition(|(n, _)| n == name);
        self.pairs = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).filter(|value| !value.is_empty()).collect()
    }

    /// The one value of a parameter.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            n => {
                Err(Problem::invalid(format!("parameter {name} is given {n} times; give it once")))
            }
        }
    }

    /// A parameter that is one of a few words.
    pub(super) fn word<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        words: &str,
    ) -> Result<T, Problem> {
        let Some(text) = self.text(name)? else { return Ok(T::default()) };
        serde_json::from_value(Value::String(text.clone())).map_err(|_| {
            Problem::invalid(format!("parameter {name}={text:?} must be one of {words}"))
        })
    }

    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem::invalid(format!("parameter {name}={text:?} must be {what}"))),
        }
    }

    /// A duration in nanoseconds.
    pub(super) fn duration(&mut self, name: &'static str) -> Result<Option<i64>, Problem> {
        let what = "nanoseconds or a duration such as 1.5ms, not negative";
        self.parsed(name, what, |text| moment::duration(text).filter(|ns| *ns >= 0))
    }

    /// The length of a list.
    pub(super) fn limit(&mut self, default: usize) -> Result<usize, Problem> {
        self.limit_to(default, MAX_LIMIT)
    }

    /// The length of a list that may be longer than most.
    pub(super) fn limit_to(&mut self, default: usize, most: usize) -> Result<usize, Problem> {
        let what = format!("a whole number from 1 to {most}");
        let parse = |text: &str| text.parse().ok().filter(|n| (1..=most).contains(n));
        Ok(self.parsed("limit", &what, parse)?.unwrap_or(default))
    }

    /// `from` and `to`; the last hour without.
    pub(super) fn range(&mut self) -> Result<TimeRange, Problem> {
        Ok(self.range_if_any()?.unwrap_or_else(|| {
            let now = now_ns();
            TimeRange::new(now.saturating_sub(NANOS_PER_HOUR), now).unwrap_or(TimeRange::ALL)
        }))
    }

    /// `from` and `to` if at least one is given.
    pub(super) fn range_if_any(&mut self) -> Result<Option<TimeRange>, Problem> {
        let now = now_ns();
        let (from, to) = (self.time("from", now)?, self.time("to", now)?);
        if from.is_none() && to.is_none() {
            return Ok(None);
        }
        let to = to.unwrap_or(now);
        let from = from.unwrap_or_else(|| to.saturating_sub(NANOS_PER_HOUR));
        match TimeRange::new(from, to) {
            Some(range) => Ok(Some(range)),
            None => Err(Problem::invalid("parameter from is later than to; swap them")),
        }
    }

    /// `reference_from` and `reference_to`, which go together.
    pub(super) fn reference(&mut self) -> Result<Option<TimeRange>, Problem> {
        let now = now_ns();
        let ends = (self.time("reference_from", now)?, self.time("reference_to", now)?);
        let (from, to) = match ends {
            (None, None) => return Ok(None),
            (Some(from), Some(to)) => (from, to),
            _ => {
                let both = "give reference_from and reference_to, or neither of them";
                return Err(Problem::invalid(both));
            }
        };
        let swapped = || Problem::invalid("reference_from is later than reference_to; swap them");
        TimeRange::new(from, to).map(Some).ok_or_else(swapped)
    }

    fn time(&mut self, name: &'static str, now: i64) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        moment::parse(&text, now)
            .map(Some)
            .map_err(|why| Problem::invalid(format!("parameter {name}: {why}")))
    }

    /// Ends the reading.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::invalid(format!(
                "parameter {name} is unknown here; known are {}",
                self.known.join(", ")
            ))),
        }
    }
}

/// Reads `key=value` as people type it: a value in quotes is text, a number or `true`/`false` is
/// what it looks like, anything else is text.
///
/// # Errors
/// When there is no `=` or no key; the text says what is expected.
pub fn parse_tag(text: &str) -> Result<(String, Value), String> {
    let expected = || format!("{text:?} is not key=value, for example http.request.method=GET");
    let (key, value) = text.split_once('=').ok_or_else(expected)?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(expected());
    }
    let typed = match serde_json::from_str::<Value>(value) {
        Ok(typed @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => typed,
        _ => Value::String(value.to_owned()),
    };
    Ok((key.to_owned(), typed))
}

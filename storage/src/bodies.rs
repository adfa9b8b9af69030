//! Bodies of log records in a segment: a template, and the values that fill it.
//!
//! A body is the pieces of [`TEMPLATE`] between its marks, with the pieces of [`VALUES`] between them in
//! turn; both are cut at [`MARK`]. Without a template the body is the value; null is no body. Any template
//! whose marks are as many as the values is right: which words are values is the writer's choice.
//! Segments of schema versions 1 to 3 keep bodies as they are.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, DictionaryArray, StringArray, StringBuilder,
    StringViewArray,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;

/// The column of rows.
pub(crate) const BODY: &str = "body";
/// What a body has in common with others, with marks where they differ.
pub(crate) const TEMPLATE: &str = "body_template";
/// What differs, with marks between.
pub(crate) const VALUES: &str = "body_values";
/// Stands in a template for a value, and between values: the unit separator of ASCII. A body that holds
/// it has no template.
pub(crate) const MARK: char = '\u{1f}';

/// Text of one of the layouts that readers yield.
enum Texts<'a> {
    Plain(&'a StringArray),
    View(&'a StringViewArray),
    Coded(&'a DictionaryArray<Int32Type>, &'a StringArray),
}

impl<'a> Texts<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        let wrong = || {
            let found = array.data_type();
            ArrowError::SchemaError(format!("a body of log records is kept as {found}"))
        };
        match array.data_type() {
            DataType::Utf8 => array.as_string_opt().map(Self::Plain).ok_or_else(wrong),
            DataType::Utf8View => array.as_string_view_opt().map(Self::View).ok_or_else(wrong),
            _ => {
                let coded = array.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
                let texts = coded.values().as_string_opt::<i32>().ok_or_else(wrong)?;
                Ok(Self::Coded(coded, texts))
            }
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::View(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Coded(coded, texts) => coded.key(row).map(|key| texts.value(key)),
        }
    }
}

/// Bodies from their templates and values.
///
/// # Errors
/// When a column is not text, or the bodies are more than an array holds.
pub(crate) fn join(templates: &ArrayRef, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (templates, values, rows) = (Texts::of(templates)?, Texts::of(values)?, values.len());
    let mut bodies = StringBuilder::with_capacity(rows, rows * 64);
    let mut body = String::new();
    for row in 0..rows {
        let Some(values) = values.get(row) else {
            bodies.append_null();
            continue;
        };
        body.clear();
        match templates.get(row) {
            Some(template) => fill(template, values, &mut body),
            None => body.push_str(values),
        }
        if i32::try_from(bodies.values_slice().len() + body.len()).is_err() {
            let detail = format!("bodies of {rows} log records take more than 2 GiB");
            return Err(ArrowError::ComputeError(detail));
        }
        bodies.append_value(&body);
    }
    Ok(Arc::new(bodies.finish()))
}

fn fill(template: &str, values: &str, body: &mut String) {
    let (mut template, mut values) = (template, Some(values));
    while let (piece, Some(rest)) = cut(template) {
        body.push_str(piece);
        if let Some((value, others)) = values.map(cut) {
            body.push_str(value);
            values = others;
        }
        template = rest;
    }
    body.push_str(template);
}

/// The text before the first mark, and behind it.
fn cut(text: &str) -> (&str, Option<&str>) {
    let at = memchr::memchr(MARK as u8, text.as_bytes());
    match at.and_then(|at| text.get(..at).zip(text.get(at + 1..))) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::cast;

    use super::*;

    #[test]
    fn a_body_is_its_template_filled_in() {
        let templates: ArrayRef = Arc::new(StringArray::from(vec![
            Some("GET /\u{1f} took \u{1f} ms"),
            Some("stopped"),
            Some("\u{1f}"),
            None,
            None,
        ]));
        let texts = [Some("cart/7\u{1f}12"), Some(""), Some("all"), Some("a\u{1f}b"), None];
        let values: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let bodies = [Some("GET /cart/7 took 12 ms"), Some("stopped"), Some("all"), texts[3], None];
        let bodies: ArrayRef = Arc::new(StringArray::from(bodies.to_vec()));
        let coded = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for kind in [DataType::Utf8, DataType::Utf8View, coded] {
            let templates = cast(&templates, &kind).unwrap();
            assert_eq!(&join(&templates, &values).unwrap(), &bodies);
        }
        let views = cast(&values, &DataType::Utf8View).unwrap();
        assert_eq!(&join(&templates, &views).unwrap(), &bodies);
        let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
        assert!(join(&numbers, &values).is_err());
    }
}

//! Bodies of log records in a segment: a template, and the values that fill it.
//!
//! A body is the pieces of [`TEMPLATE`] between its marks ([`MARK`]), with the values between them in turn:
//! the first ones in columns of their own ([`FIRST`]), the rest in [`VALUES`] with marks between. Without a
//! template the body is [`VALUES`]; if that is null, there is none. Any template whose marks are as many as
//! the values is right: which words are values is the writer's choice.
//! Segments of schema version 4 have all values in [`VALUES`], those of versions 1 to 3 bodies as they are.

use std::fmt::Write;
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
/// The values of the first marks of a template: those of one place are alike.
pub(crate) const FIRST: [&str; 5] =
    ["body_value_1", "body_value_2", "body_value_3", "body_value_4", "body_value_5"];
/// The other values, with marks between.
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

/// Bodies from their templates, the values of the first places, as many as the file has, and all others.
///
/// # Errors
/// When a column is missing or not text, or the bodies are more than an array holds.
pub(crate) fn join(columns: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    let [templates, first @ .., values] = columns else {
        let detail = "bodies of log records lack their templates or values".to_owned();
        return Err(ArrowError::SchemaError(detail));
    };
    let first = first.iter().map(Texts::of).collect::<Result<Vec<_>, _>>()?;
    let (templates, values, rows) = (Texts::of(templates)?, Texts::of(values)?, values.len());
    let mut bodies = StringBuilder::with_capacity(rows, rows * 64);
    for row in 0..rows {
        // What is written becomes a row when a value is appended.
        match (templates.get(row), values.get(row)) {
            (Some(template), values) => {
                let first = first.iter().map(|place| place.get(row).unwrap_or_default());
                fill(template, first, values, &mut bodies).map_err(full)?;
            }
            (None, Some(values)) => bodies.write_str(values).map_err(full)?,
            (None, None) => {
                bodies.append_null();
                continue;
            }
        }
        if i32::try_from(bodies.values_slice().len()).is_err() {
            let detail = format!("bodies of {rows} log records take more than 2 GiB");
            return Err(ArrowError::ComputeError(detail));
        }
        bodies.append_value("");
    }
    Ok(Arc::new(bodies.finish()))
}

fn fill<'a>(
    template: &str,
    mut first: impl Iterator<Item = &'a str>,
    mut values: Option<&str>,
    body: &mut impl Write,
) -> std::fmt::Result {
    let mut template = template;
    while let (piece, Some(rest)) = cut(template) {
        body.write_str(piece)?;
        if let Some(value) = first.next() {
            body.write_str(value)?;
        } else if let Some((value, others)) = values.map(cut) {
            body.write_str(value)?;
            values = others;
        }
        template = rest;
    }
    body.write_str(template)
}

fn full(error: std::fmt::Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// The text before the first mark, and behind it.
pub(crate) fn cut(text: &str) -> (&str, Option<&str>) {
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
            assert_eq!(&join(&[templates, Arc::clone(&values)]).unwrap(), &bodies);
        }
        let views = cast(&values, &DataType::Utf8View).unwrap();
        assert_eq!(&join(&[Arc::clone(&templates), views]).unwrap(), &bodies);
        let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
        assert!(join(&[numbers, values]).is_err());
        assert!(join(&[templates]).is_err());
    }

    #[test]
    fn the_first_places_have_columns() {
        let text = |texts: &[Option<&str>]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let template = Some("\u{1f}, \u{1f}, \u{1f} and \u{1f}.");
        let columns = [
            text(&[template, template, Some("none"), None, None]),
            text(&[Some("a"), Some(""), None, None, None]),
            text(&[Some("b"), None, None, None, None]),
            text(&[Some("c\u{1f}d"), Some("e"), None, Some("whole"), None]),
        ];
        let bodies =
            [Some("a, b, c and d."), Some(", , e and ."), Some("none"), Some("whole"), None];
        assert_eq!(&join(&columns).unwrap(), &text(&bodies));
    }
}

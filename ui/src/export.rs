//! Tables as files: the same page with `format=csv` or `format=json`.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::view::View;

/// What the address asks for instead of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
}

impl Format {
    /// `None` for a page.
    pub(crate) fn of(view: &View) -> Option<Self> {
        match view.param("format") {
            Some("csv") => Some(Self::Csv),
            Some("json") => Some(Self::Json),
            _ => None,
        }
    }

    /// Sends rows in this format, as a file of that name.
    pub(crate) fn send<T: Serialize>(
        self,
        name: &str,
        rows: &[T],
        header: &[&str],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Response {
        let (mime, end, body) = match self {
            Self::Csv => ("text/csv; charset=utf-8", "csv", csv(header, rows.iter().map(cells))),
            Self::Json => (
                "application/json",
                "json",
                serde_json::to_string(rows).unwrap_or_else(|_| "[]".to_owned()),
            ),
        };
        let file = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{end}\""));
        let mut response = ([(header::CONTENT_TYPE, mime)], body).into_response();
        if let Ok(file) = file {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
        }
        response
    }
}

fn csv(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = header.join(",");
    out.push_str("\r\n");
    for row in rows {
        let line: Vec<String> = row.iter().map(|cell| field(cell)).collect();
        out.push_str(&line.join(","));
        out.push_str("\r\n");
    }
    out
}

/// RFC 4180 quoting. Text that a spreadsheet would run as a formula gets an apostrophe first.
fn field(text: &str) -> String {
    let number = text.parse::<f64>().is_ok();
    let formula = !number && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_cells_stay_cells() {
        assert_eq!(field("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(field("-12.5"), "-12.5");
        assert_eq!(field("a,b\nc"), "\"a,b\nc\"");
        assert_eq!(
            csv(&["a", "b"], [vec!["1".into(), "@x".into()]].into_iter()),
            "a,b\r\n1,'@x\r\n"
        );
    }
}

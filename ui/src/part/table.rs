//! Tables sorted by their address.

use crate::view::View;

/// A column: key in the address, words, whether it is a number, what it means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    pub(crate) numeric: bool,
    pub(crate) title: &'static str,
}

pub(crate) const fn text(key: &'static str, label: &'static str) -> Column {
    Column { key, label, numeric: false, title: "" }
}

pub(crate) const fn figure(key: &'static str, label: &'static str, title: &'static str) -> Column {
    Column { key, label, numeric: true, title }
}

/// A column's head: where a click leads, how the table is sorted now.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) label: &'static str,
    pub(crate) href: String,
    /// `ascending`, `descending` or `none`.
    pub(crate) sort: &'static str,
    pub(crate) numeric: bool,
    pub(crate) title: &'static str,
}

/// The order a table is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: &'static str,
    pub(crate) descending: bool,
}

impl Order {
    /// Reads `sort=key` or `sort=-key`; anything unknown is the default, descending.
    pub(crate) fn read(view: &View, columns: &[Column], default: &'static str) -> Self {
        let asked = view.param("sort").unwrap_or_default();
        let (key, descending) = match asked.strip_prefix('-') {
            Some(key) => (key, true),
            None => (asked, false),
        };
        columns
            .iter()
            .find(|c| !c.key.is_empty() && c.key == key)
            .map_or(Self { key: default, descending: true }, |c| Self { key: c.key, descending })
    }

    /// Sorts by `compare` (ascending), in this order.
    pub(crate) fn sort<T>(self, rows: &mut [T], compare: impl Fn(&T, &T) -> std::cmp::Ordering) {
        rows.sort_by(|a, b| if self.descending { compare(b, a) } else { compare(a, b) });
    }

    /// The heads of the table.
    pub(crate) fn heads(self, view: &View, columns: &[Column]) -> Vec<Head> {
        columns
            .iter()
            .map(|c| {
                let active = c.key == self.key;
                // The first click shows the greatest figure, or the alphabet's start.
                let down = if active { !self.descending } else { c.numeric };
                let value = if down { format!("-{}", c.key) } else { c.key.to_owned() };
                Head {
                    label: c.label,
                    href: view.with("sort", value).to_string(),
                    sort: match (active, self.descending) {
                        (false, _) => "none",
                        (true, true) => "descending",
                        (true, false) => "ascending",
                    },
                    numeric: c.numeric,
                    title: c.title,
                }
            })
            .collect()
    }
}

//! One attribute of rows of a segment.

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use headrope_model::semconv::{Kind, Promoted};
use headrope_model::{attr, json};

use super::Layout;
use super::texts::Texts;
use super::whole::has_key;

/// Which columns of a file hold the values of one key, and how they are told from them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Find {
    key: String,
    /// The key as it stands in JSON text.
    quoted: String,
    dense: Option<usize>,
    rest: Option<usize>,
    promoted: Option<(usize, Kind)>,
    /// Dense columns of the older names: where one has a value, the promoted column does not stand for
    /// the key.
    renamed: Vec<usize>,
    aliases: &'static [&'static str],
}

/// The columns of a [`Find`] in a batch.
#[derive(Debug)]
pub struct Found<'f> {
    find: &'f Find,
    dense: Option<Texts>,
    rest: Option<Texts>,
    text: Option<Texts>,
    int: Option<Int64Array>,
    renamed: Vec<Texts>,
}

impl Layout {
    /// How to find a key. `in_rest` tells whether the rest of the file may hold a key; `promoted` are
    /// the promoted columns that stand for attributes.
    #[must_use]
    pub fn find(&self, key: &str, in_rest: impl Fn(&str) -> bool) -> Find {
        let standing = self.promoted.iter().find(|p| p.promoted.key == key);
        let aliases: &'static [&'static str] = standing.map_or(&[], |p| {
            let Promoted { aliases, .. } = p.promoted;
            aliases
        });
        let rest = in_rest(key) || aliases.iter().any(|alias| in_rest(alias));
        let mut quoted = String::new();
        attr::push_key(key, &mut quoted);
        Find {
            key: key.to_owned(),
            quoted,
            dense: self.dense_column(key),
            rest: rest.then_some(self.rest),
            promoted: standing.map(|p| (p.column, p.promoted.kind)),
            renamed: aliases.iter().filter_map(|alias| self.dense_column(alias)).collect(),
            aliases,
        }
    }
}

impl Find {
    /// The columns to read, in the order [`Self::on`] takes them; none if no row has the key.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let promoted = self.promoted.map(|(column, _)| column);
        let places = [self.dense, self.rest, promoted].into_iter().flatten();
        // The older names matter only beside the promoted column.
        let renamed = self.renamed.iter().copied().filter(|_| promoted.is_some());
        places.chain(renamed).collect()
    }

    /// The one column that holds every value as canonical JSON, if there is such.
    #[must_use]
    pub const fn only(&self) -> Option<usize> {
        match (self.dense, self.rest, self.promoted) {
            (Some(dense), None, None) => Some(dense),
            _ => None,
        }
    }

    /// Reads from the columns named by [`Self::columns`], in that order.
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub fn on(&self, columns: &[ArrayRef]) -> Result<Found<'_>, ArrowError> {
        let missing =
            || ArrowError::SchemaError(format!("a column of attribute {} is missing", self.key));
        let mut columns = columns.iter();
        let mut take = |wanted: bool| match wanted {
            true => columns.next().ok_or_else(missing).map(Some),
            false => Ok(None),
        };
        let dense = take(self.dense.is_some())?.map(Texts::of).transpose()?;
        let rest = take(self.rest.is_some())?.map(Texts::of).transpose()?;
        let promoted = take(self.promoted.is_some())?;
        let (mut text, mut int) = (None, None);
        if let (Some(array), Some((_, kind))) = (promoted, self.promoted) {
            match kind {
                Kind::Text => text = Some(Texts::of(array)?),
                Kind::Int => {
                    int = Some(array.as_primitive_opt::<Int64Type>().ok_or_else(missing)?.clone());
                }
            }
        }
        let renamed = columns.map(Texts::of).collect::<Result<_, _>>()?;
        Ok(Found { find: self, dense, rest, text, int, renamed })
    }
}

impl Found<'_> {
    /// The value of a row as canonical JSON; `scratch` is used when it has to be written.
    pub fn get<'s>(&'s self, row: usize, scratch: &'s mut String) -> Option<&'s str> {
        if let Some(value) = self.dense.as_ref().and_then(|d| d.get(row)) {
            return Some(value);
        }
        let rest = self.rest.as_ref().and_then(|r| r.get(row));
        if let Some(rest) = rest.filter(|rest| rest.contains(&self.find.quoted)) {
            let found = json::members(rest).find(|(key, _)| *key == self.find.quoted);
            if let Some((_, value)) = found {
                return Some(value);
            }
        }
        scratch.clear();
        match (&self.text, &self.int) {
            (Some(texts), _) => attr::push_str(texts.get(row)?, scratch),
            (None, Some(ints)) if row < ints.len() && ints.is_valid(row) => {
                attr::push_i64(ints.value(row), scratch);
            }
            _ => return None,
        }
        let renamed = self.renamed.iter().any(|texts| texts.get(row).is_some())
            || rest.is_some_and(|rest| self.find.aliases.iter().any(|alias| has_key(rest, alias)));
        (!renamed).then_some(scratch.as_str())
    }
}

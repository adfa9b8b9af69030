//! Groups of rows by labels, from the codes of their dictionaries.
//!
//! A text is looked at once for each dictionary, that is once for each row group; each row costs one
//! look-up in a table of the codes.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray as _, DictionaryArray, RecordBatch, RecordBatchOptions,
    StringArray, StringViewArray, StringViewBuilder, UInt32Array,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Int32Type, Schema, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};

/// Largest table of combinations of codes; more are looked up one by one.
const MOST_COMBINATIONS: usize = 1 << 20;
/// No group yet.
const NONE: u32 = u32::MAX;

type Codes = DictionaryArray<Int32Type>;

/// The dictionary behind a column of labels.
fn codes(array: &ArrayRef) -> Result<(&Codes, &StringArray)> {
    let wrong = || exec_datafusion_err!("a label is {}", array.data_type());
    let codes = array.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
    let texts = codes.values().as_string_opt::<i32>().ok_or_else(wrong)?;
    Ok((codes, texts))
}

/// Whether two dictionaries are the same memory.
fn same(a: &StringArray, b: &StringArray) -> bool {
    let ends = |t: &StringArray| (t.value_offsets().as_ptr(), t.value_data().as_ptr(), t.len());
    ends(a) == ends(b)
}

/// Hands the place of each row's label in its dictionary to `each`; null comes after the last.
fn places<T>(
    codes: &Codes,
    size: usize,
    out: impl Iterator<Item = T>,
    mut each: impl FnMut(T, usize),
) {
    let keys = codes.keys();
    // No code is negative; one that is would come after the last, too.
    let place = |key: &i32| (key.cast_unsigned() as usize).min(size);
    let rows = out.zip(keys.values());
    match keys.nulls().filter(|nulls| nulls.null_count() > 0) {
        // Without a question for each row this is a few instructions for many of them.
        None => rows.for_each(|(to, key)| each(to, place(key))),
        Some(nulls) => rows.zip(nulls.iter()).for_each(|((to, key), is_valid)| {
            each(to, if is_valid { place(key) } else { size });
        }),
    }
}

/// Numbers of the labels of one column, in the order they were met.
#[derive(Debug, Default)]
struct Numbers {
    by_text: HashMap<Option<Box<str>>, u32>,
    texts: Vec<Option<Box<str>>>,
}

impl Numbers {
    fn of(&mut self, text: Option<&str>) -> u32 {
        let text: Option<Box<str>> = text.map(Into::into);
        if let Some(number) = self.by_text.get(&text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(NONE);
        self.texts.push(text.clone());
        self.by_text.insert(text, number);
        number
    }
}

/// Numbers the groups of rows that have the same labels.
#[derive(Debug)]
pub(super) struct Groups {
    columns: Vec<Numbers>,
    by_labels: HashMap<Vec<u32>, u32>,
    /// The labels of each group.
    labels: Vec<Vec<u32>>,
    /// The dictionaries the table below is for.
    dictionaries: Vec<StringArray>,
    /// For each column and place in its dictionary the number of the label.
    numbers: Vec<Vec<u32>>,
    /// The group of each combination of places that was met; empty when there are too many.
    table: Vec<u32>,
    /// The combination of each row of a batch.
    combined: Vec<usize>,
}

impl Groups {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            columns: (0..columns).map(|_| Numbers::default()).collect(),
            by_labels: HashMap::new(),
            labels: Vec::new(),
            dictionaries: Vec::new(),
            numbers: Vec::new(),
            table: Vec::new(),
            combined: Vec::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.labels.len()
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self
            .columns
            .iter()
            .flat_map(|c| &c.texts)
            .map(|t| 2 * t.as_ref().map_or(0, |t| t.len()) + 64)
            .sum();
        texts
            + self.table.len() * 4
            + self.combined.len() * 8
            + self.labels.len() * (64 + 8 * self.columns.len())
    }

    /// The group of each row, given its labels.
    pub(super) fn of(&mut self, labels: &[ArrayRef], out: &mut Vec<usize>) -> Result<()> {
        let all = labels.iter().map(codes).collect::<Result<Vec<_>>>()?;
        let known = self.dictionaries.len() == all.len()
            && self.dictionaries.iter().zip(&all).all(|(old, (_, new))| same(old, new));
        if !known {
            self.learn(&all);
        }
        let rows = labels.first().map_or(0, |l| l.len());
        let mut combined = std::mem::take(&mut self.combined);
        combined.clear();
        combined.resize(rows, 0);
        for ((codes, texts), numbers) in all.iter().zip(&self.numbers) {
            let of = numbers.len();
            places(codes, texts.len(), combined.iter_mut(), |sum, place| *sum = *sum * of + place);
        }
        out.clear();
        out.extend(combined.iter().map(|at| self.known(*at) as usize));
        for (group, at) in out.iter_mut().zip(&combined) {
            if *group == NONE as usize {
                // A row before may have been the first with these labels.
                let known = self.known(*at);
                *group = if known == NONE { self.group(*at) } else { known } as usize;
            }
        }
        self.combined = combined;
        Ok(())
    }

    /// Prepares for other dictionaries.
    fn learn(&mut self, all: &[(&Codes, &StringArray)]) {
        self.dictionaries = all.iter().map(|(_, texts)| (*texts).clone()).collect();
        let with_null = |texts: &StringArray, numbers: &mut Numbers| {
            let mut of: Vec<u32> = texts.iter().map(|text| numbers.of(text)).collect();
            of.push(numbers.of(None));
            of
        };
        let columns = self.columns.iter_mut();
        self.numbers = all.iter().zip(columns).map(|((_, texts), n)| with_null(texts, n)).collect();
        let combinations =
            self.numbers.iter().try_fold(1_usize, |product, n| product.checked_mul(n.len()));
        let size = combinations.filter(|n| *n <= MOST_COMBINATIONS).unwrap_or(0);
        self.table.clear();
        self.table.resize(size, NONE);
    }

    /// The group of a combination of places, if it was met.
    fn known(&self, at: usize) -> u32 {
        self.table.get(at).map_or(NONE, |group| *group)
    }

    /// The group of a combination of places, numbered if it is new.
    fn group(&mut self, at: usize) -> u32 {
        let mut rest = at;
        let mut labels = vec![NONE; self.numbers.len()];
        for (label, numbers) in labels.iter_mut().zip(&self.numbers).rev() {
            *label = numbers.get(rest % numbers.len()).copied().unwrap_or(NONE);
            rest /= numbers.len();
        }
        let next = u32::try_from(self.labels.len()).unwrap_or(NONE);
        let group = *self.by_labels.entry(labels.clone()).or_insert(next);
        if group == next {
            self.labels.push(labels);
        }
        if let Some(slot) = self.table.get_mut(at) {
            *slot = group;
        }
        group
    }

    /// The labels of all groups, one array for each column.
    pub(super) fn arrays(&self) -> Vec<ArrayRef> {
        let array = |(at, numbers): (usize, &Numbers)| {
            let mut out = StringViewBuilder::with_capacity(self.labels.len());
            for labels in &self.labels {
                let number = labels.get(at).copied().unwrap_or(NONE);
                let text = numbers.texts.get(number as usize);
                out.append_option(text.and_then(|t| t.as_deref()));
            }
            Arc::new(out.finish()) as ArrayRef
        };
        self.columns.iter().enumerate().map(array).collect()
    }
}

/// An expression over rows whose labels are dictionaries.
#[derive(Debug)]
pub(super) enum Value {
    /// Depends on one label: evaluated once for each text of a dictionary.
    OfLabel {
        column: usize,
        expr: Arc<dyn PhysicalExpr>,
        schema: SchemaRef,
        last: Option<(StringArray, ArrayRef)>,
    },
    /// Anything else, over some of the columns in the types of the query schema.
    General { columns: Vec<usize>, expr: Arc<dyn PhysicalExpr>, schema: SchemaRef },
}

impl Value {
    /// An expression over a schema whose column at each place is found at another place in the rows.
    pub(super) fn new(
        expr: &Arc<dyn PhysicalExpr>,
        over: &Schema,
        place: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self> {
        let mut used: Vec<Column> = collect_columns(expr).into_iter().collect();
        used.sort_by_key(Column::index);
        let missing = || exec_datafusion_err!("{expr} needs a column that is not read");
        let columns = used.iter().map(|c| place(c.index()).ok_or_else(missing));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let indices: Vec<usize> = used.iter().map(Column::index).collect();
        let schema = Arc::new(over.project(&indices)?);
        let expr = reassign_expr_columns(Arc::clone(expr), &schema)?;
        let is_label = |at: &usize| schema.field(*at).data_type() == &DataType::Utf8View;
        Ok(match columns.as_slice() {
            [column] if is_label(&0) => {
                let schema = nullable(&schema);
                Self::OfLabel { column: *column, expr, schema, last: None }
            }
            _ => Self::General { columns, expr, schema },
        })
    }

    /// The values of some rows.
    pub(super) fn of(&mut self, rows: &[ArrayRef], count: usize) -> Result<ArrayRef> {
        match self {
            Self::OfLabel { column: at, expr, schema, last } => {
                let label = column(rows, *at)?;
                let (codes, texts) = codes(label)?;
                let values = match last {
                    Some((of, values)) if same(of, texts) => Arc::clone(values),
                    // A text that no row has may be one it cannot be evaluated for.
                    _ => match of_texts(expr, schema, texts) {
                        Ok(values) => {
                            *last = Some((texts.clone(), Arc::clone(&values)));
                            values
                        }
                        Err(_) => return over(expr, schema, &[cast(label, &DataType::Utf8View)?]),
                    },
                };
                let mut at = vec![0_u32; codes.len()];
                places(codes, texts.len(), at.iter_mut(), |at, place| {
                    *at = u32::try_from(place).unwrap_or_default();
                });
                Ok(take(&values, &UInt32Array::from(at), None)?)
            }
            Self::General { columns, expr, schema } => {
                let arrays = columns.iter().zip(schema.fields()).map(|(at, field)| {
                    let array = column(rows, *at)?;
                    match array.data_type() == field.data_type() {
                        true => Ok(Arc::clone(array)),
                        false => Ok(cast(array, field.data_type())?),
                    }
                });
                let options = RecordBatchOptions::new().with_row_count(Some(count));
                let batch = RecordBatch::try_new_with_options(
                    Arc::clone(schema),
                    arrays.collect::<Result<Vec<_>>>()?,
                    &options,
                )?;
                expr.evaluate(&batch)?.into_array(count)
            }
        }
    }
}

fn column(rows: &[ArrayRef], at: usize) -> Result<&ArrayRef> {
    rows.get(at).ok_or_else(|| exec_datafusion_err!("rows have no column {at}"))
}

/// An expression over one column of text for each text of a dictionary, then for null.
fn of_texts(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    texts: &StringArray,
) -> Result<ArrayRef> {
    let each: StringViewArray = texts.iter().chain([None]).collect();
    over(expr, schema, &[Arc::new(each)])
}

fn over(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    columns: &[ArrayRef],
) -> Result<ArrayRef> {
    let batch = RecordBatch::try_new(Arc::clone(schema), columns.to_vec())?;
    expr.evaluate(&batch)?.into_array(batch.num_rows())
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

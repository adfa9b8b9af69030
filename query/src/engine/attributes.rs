//! Attributes of segments: SQL sees one map, a file keeps columns (see [`headrope_storage::dense`]).
//!
//! What is asked of the map becomes an expression over the columns of the file at hand: one attribute
//! reads the one to three columns that can hold it, and only who asks for the whole map gets it put
//! together. An attribute that no row of the file has is a constant null, so that its file may be
//! skipped. Columns that a file keeps as others are put together likewise (see [`super::joined`]).

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal, cast, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use headrope_model::{DataSet, schema};
use headrope_storage::dense::{self, Find, Layout, WHOLE};

use super::joined::JoinedColumns;
use crate::function::attr::{Attr, Output};
use crate::function::tag::HasTag;

/// Adapts expressions to the files of a data set.
#[derive(Debug)]
pub(crate) struct Adapters {
    pub(crate) data_set: DataSet,
    pub(crate) config: Arc<ConfigOptions>,
}

impl PhysicalExprAdapterFactory for Adapters {
    fn create(
        &self,
        logical: SchemaRef,
        physical: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let layout = Layout::of(&physical, dense::promoted(self.data_set));
        let joined = JoinedColumns::of(&physical, &logical);
        let general = DefaultPhysicalExprAdapter::new(logical, Arc::clone(&physical));
        let Some(layout) = layout else { return Ok(Arc::new(general)) };
        let metadata = physical.metadata();
        let rest_keys = dense::rest_keys(|name| metadata.get(name).map(String::as_str));
        let config = Arc::clone(&self.config);
        Ok(Arc::new(Adapter { general, layout, joined, rest_keys, physical, config }))
    }
}

/// Adapts expressions to one file.
#[derive(Debug)]
struct Adapter {
    general: DefaultPhysicalExprAdapter,
    layout: Layout,
    joined: JoinedColumns,
    /// Every key of the file's rest, if that is known.
    rest_keys: Option<BTreeSet<String>>,
    physical: SchemaRef,
    config: Arc<ConfigOptions>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform_down(|expr| {
            let found = match self.one_attribute(&expr)? {
                Some(found) => Some(found),
                None => self.tag(&expr)?,
            };
            if let Some(found) = found {
                return Ok(Transformed::new(found, true, TreeNodeRecursion::Jump));
            }
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let found = match self.joined.expr(column.name(), &self.config) {
                _ if column.name() == WHOLE => self.whole(),
                Some(pair) => pair,
                None => self.general.rewrite(expr)?,
            };
            Ok(Transformed::new(found, true, TreeNodeRecursion::Jump))
        })
        .data()
    }
}

fn is_whole(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Column>().is_some_and(|column| column.name() == WHOLE)
}

fn text_of(expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    expr.downcast_ref::<Literal>()?.value().try_as_str().flatten()
}

/// `has_tag(attributes, …, key, value)`.
struct Tag<'e> {
    function: &'e ScalarUDF,
    elsewhere: &'e [Arc<dyn PhysicalExpr>],
    key: &'e str,
    value: &'e Arc<dyn PhysicalExpr>,
}

impl<'e> Tag<'e> {
    fn of(expr: &'e Arc<dyn PhysicalExpr>) -> Option<Self> {
        let call = ScalarFunctionExpr::try_downcast_func::<HasTag>(expr.as_ref())?;
        let [from, elsewhere @ .., key, value] = call.args() else { return None };
        let key = is_whole(from).then(|| text_of(key)).flatten()?;
        text_of(value)?;
        Some(Self { function: call.fun(), elsewhere, key, value })
    }

    /// The span's own attribute apart from everything else.
    fn apart(
        &self,
        own: Arc<dyn PhysicalExpr>,
        elsewhere: Vec<Arc<dyn PhysicalExpr>>,
        config: &Arc<ConfigOptions>,
    ) -> Arc<dyn PhysicalExpr> {
        let value = lit(ScalarValue::Utf8View(text_of(self.value).map(str::to_owned)));
        let equal = BinaryExpr::new(own, Operator::IsNotDistinctFrom, value);
        let mut args = vec![lit(ScalarValue::Utf8View(None))];
        args.extend(elsewhere);
        args.push(lit(ScalarValue::from(self.key)));
        args.push(Arc::clone(self.value));
        let call = call(Arc::new(self.function.clone()), args, DataType::Boolean, config);
        Arc::new(BinaryExpr::new(Arc::new(equal), Operator::Or, call))
    }
}

fn call(
    function: Arc<ScalarUDF>,
    args: Vec<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
    config: &Arc<ConfigOptions>,
) -> Arc<dyn PhysicalExpr> {
    let name = function.name().to_owned();
    let field: FieldRef = Arc::new(Field::new(&name, data_type, true));
    Arc::new(ScalarFunctionExpr::new(&name, function, args, field, Arc::clone(config)))
}

impl Adapter {
    /// `attr(attributes, 'key')` and the like.
    fn one_attribute(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let lookup = Lookup::of(expr);
        lookup.map(|lookup| self.attribute(&lookup.key, lookup.output)).transpose()
    }

    fn tag(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(tag) = Tag::of(expr) else { return Ok(None) };
        let own = self.attribute(tag.key, Output::Json)?;
        let elsewhere = tag.elsewhere.iter().map(|arg| self.general.rewrite(Arc::clone(arg)));
        Ok(Some(tag.apart(own, elsewhere.collect::<Result<_>>()?, &self.config)))
    }

    fn attribute(&self, key: &str, output: Output) -> Result<Arc<dyn PhysicalExpr>> {
        let in_rest = |key: &str| self.rest_keys.as_ref().is_none_or(|keys| keys.contains(key));
        let find = self.layout.find(key, in_rest);
        let columns = find.columns();
        if columns.is_empty() {
            return Ok(lit(ScalarValue::try_from(output.data_type())?));
        }
        if let (Output::Json, Some(only)) = (output, find.only()) {
            return cast(self.column(only), &self.physical, DataType::Utf8View);
        }
        let function = ScalarUDF::new_from_impl(FindAttribute { find, output, signature: any() });
        let args = columns.into_iter().map(|at| self.column(at)).collect();
        Ok(call(Arc::new(function), args, output.data_type(), &self.config))
    }

    fn whole(&self) -> Arc<dyn PhysicalExpr> {
        let map = schema::attributes_type();
        let function = WholeMap { layout: self.layout.clone(), map: map.clone(), signature: any() };
        let args = self.layout.columns().into_iter().map(|at| self.column(at)).collect();
        let function = Arc::new(ScalarUDF::new_from_impl(function));
        let field = Arc::new(Field::new(WHOLE, map, false));
        Arc::new(ScalarFunctionExpr::new(WHOLE, function, args, field, Arc::clone(&self.config)))
    }

    fn column(&self, at: usize) -> Arc<dyn PhysicalExpr> {
        let name = self.physical.fields().get(at).map_or("", |field| field.name());
        Arc::new(Column::new(name, at))
    }
}

fn any() -> Signature {
    Signature::variadic_any(Volatility::Immutable)
}

fn arrays(args: ScalarFunctionArgs) -> Result<Vec<ArrayRef>> {
    let rows = args.number_rows;
    args.args.into_iter().map(|arg| arg.into_array(rows)).collect()
}

/// One attribute, from the columns of a file.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FindAttribute {
    find: Find,
    output: Output,
    signature: Signature,
}

impl ScalarUDFImpl for FindAttribute {
    fn name(&self) -> &str {
        "find_attribute"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.output.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        Ok(ColumnarValue::Array(values_of(&self.find, self.output, &arrays(args)?, rows)?))
    }
}

/// An attribute in so many rows of the columns that can hold it, in the order of [`Find::columns`].
pub(super) fn values_of(
    find: &Find,
    output: Output,
    columns: &[ArrayRef],
    rows: usize,
) -> Result<ArrayRef> {
    let found = find.on(columns)?;
    let mut out = output.builder(rows);
    let mut scratch = String::new();
    for row in 0..rows {
        out.push(found.get(row, &mut scratch));
    }
    Ok(out.finish())
}

/// The whole map, from the columns of a file.
#[derive(Debug, PartialEq, Eq)]
struct WholeMap {
    layout: Layout,
    map: DataType,
    signature: Signature,
}

impl Hash for WholeMap {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.layout.columns().hash(state);
    }
}

impl ScalarUDFImpl for WholeMap {
    fn name(&self) -> &str {
        WHOLE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.map.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let map = self.layout.assemble(&arrays(args)?, rows)?;
        Ok(ColumnarValue::Array(Arc::new(map)))
    }
}

/// A single attribute as a column of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup {
    key: String,
    output: Output,
}

impl Lookup {
    /// Name of the column; no column of the schema has such a name.
    pub(crate) fn name(&self) -> String {
        format!("{}(attributes, {:?})", self.output.function(), self.key)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) const fn output(&self) -> Output {
        self.output
    }

    pub(crate) fn field(&self) -> Field {
        Field::new(self.name(), self.output.data_type(), true)
    }

    /// The attribute of a map.
    pub(crate) fn expr(
        &self,
        whole: Arc<dyn PhysicalExpr>,
        config: Arc<ConfigOptions>,
    ) -> Arc<dyn PhysicalExpr> {
        let function = Arc::new(ScalarUDF::new_from_impl(Attr::new(self.output)));
        let args = vec![whole, lit(ScalarValue::Utf8View(Some(self.key.clone())))];
        let field = Arc::new(self.field());
        let name = self.output.function();
        Arc::new(ScalarFunctionExpr::new(name, function, args, field, config))
    }

    /// The attribute that an expression asks for.
    fn of(expr: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let call = ScalarFunctionExpr::try_downcast_func::<Attr>(expr.as_ref())?;
        let [from, key] = call.args() else { return None };
        let key = is_whole(from).then(|| text_of(key)).flatten()?.to_owned();
        let output = call.fun().inner().downcast_ref::<Attr>()?.output();
        Some(Self { key, output })
    }
}

/// A condition over single attributes instead of the whole map: `lookups` are columns `first` and
/// further of what it is over, and get those that are missing.
pub(crate) fn single(
    condition: &Arc<dyn PhysicalExpr>,
    first: usize,
    lookups: &mut Vec<Lookup>,
    config: &Arc<ConfigOptions>,
) -> Result<Arc<dyn PhysicalExpr>> {
    let mut place = |lookup: Lookup| -> Arc<dyn PhysicalExpr> {
        let at = lookups.iter().position(|known| *known == lookup).unwrap_or_else(|| {
            lookups.push(lookup.clone());
            lookups.len() - 1
        });
        Arc::new(Column::new(&lookup.name(), first + at))
    };
    let found = Arc::clone(condition).transform_down(|expr| {
        if let Some(lookup) = Lookup::of(&expr) {
            return Ok(Transformed::new(place(lookup), true, TreeNodeRecursion::Jump));
        }
        let Some(tag) = Tag::of(&expr) else { return Ok(Transformed::no(expr)) };
        let own = place(Lookup { key: tag.key.to_owned(), output: Output::Json });
        let found = tag.apart(own, tag.elsewhere.to_vec(), config);
        Ok(Transformed::new(found, true, TreeNodeRecursion::Jump))
    });
    found.data()
}

//! What SQL can name: the tables and views over one snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use headrope_model::DataSet;

use super::table::{Source, Table};
use super::{names, views};

/// Name of the one catalog.
pub(crate) const CATALOG: &str = "headrope";
/// Name of the one schema.
pub(crate) const SCHEMA: &str = "public";

/// The catalog of one question; its one schema is itself.
#[derive(Debug)]
pub(crate) struct SnapshotCatalog {
    schema: Arc<SnapshotSchema>,
}

impl SnapshotCatalog {
    pub(crate) fn new(source: Source) -> Self {
        Self { schema: Arc::new(SnapshotSchema { source }) }
    }
}

impl CatalogProvider for SnapshotCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == SCHEMA).then(|| Arc::clone(&self.schema) as Arc<dyn SchemaProvider>)
    }
}

/// Tables and views over one snapshot, made when they are named.
#[derive(Debug)]
struct SnapshotSchema {
    source: Source,
}

#[async_trait]
impl SchemaProvider for SnapshotSchema {
    fn table_names(&self) -> Vec<String> {
        let tables = DataSet::ALL.iter().filter(|d| !d.is_rollup()).map(|d| d.name());
        tables.chain(views::NAMES).chain([names::TABLE]).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(data_set) = named(name) {
            return Ok(Some(Arc::new(Table::new(data_set, self.source.clone()))));
        }
        if name == names::TABLE {
            return Ok(Some(Arc::new(names::KeysTable::new(self.source.clone()))));
        }
        views::view(name, &self.source)
    }

    fn table_exist(&self, name: &str) -> bool {
        named(name).is_some() || views::NAMES.contains(&name) || name == names::TABLE
    }
}

/// The data set that is a table of that name; roll-ups are seen through views.
fn named(name: &str) -> Option<DataSet> {
    DataSet::from_name(name).filter(|d| !d.is_rollup())
}

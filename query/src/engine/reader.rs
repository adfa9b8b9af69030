//! How the engine's Parquet scans read segments: footers from memory, bytes on threads that may block.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use headrope_storage::Segment;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::scan::Pin;
use crate::segment::{Footers, Positioned};

/// Makes readers of pinned segments.
#[derive(Debug)]
pub(crate) struct Readers(pub(crate) Arc<Footers>);

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let pin = file.extensions.get::<Pin>();
        let missing = || exec_datafusion_err!("{} is not pinned", file.object_meta.location);
        let Pin(segment) = pin.ok_or_else(missing)?;
        let (segment, footers) = (Arc::clone(segment), Arc::clone(&self.0));
        Ok(Box::new(Reader { segment, footers, file: None }))
    }
}

struct Reader {
    segment: Arc<Segment>,
    footers: Arc<Footers>,
    file: Option<Positioned>,
}

/// Runs what blocks on a thread for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> parquet::errors::Result<T> + Send + 'static,
) -> parquet::errors::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ParquetError::External(Box::new(e)))?
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let read = self.get_byte_ranges(vec![range]).await?;
            let none = || ParquetError::General("a range without bytes".to_owned());
            read.into_iter().next().ok_or_else(none)
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            let (segment, open) = (Arc::clone(&self.segment), self.file.take());
            let (file, bytes) = aside(move || {
                let file = match open {
                    Some(file) => file,
                    None => Positioned::of(&segment)?,
                };
                let bytes = file.read_all(&ranges)?;
                Ok((file, bytes))
            })
            .await?;
            self.file = Some(file);
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let kept = self.footers.kept(&self.segment.meta().id);
            if let Some(whole) = kept.and_then(|footer| footer.decoded()) {
                return Ok(whole);
            }
            let (segment, footers) = (Arc::clone(&self.segment), Arc::clone(&self.footers));
            aside(move || footers.of(&segment)?.whole()).await
        }
        .boxed()
    }
}

//! Readers that check a segment's bytes against their checksums before the decoder sees them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use headrope_storage::Segment;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

/// Keeps a segment's files until the plan is dropped, and tells readers which segment a file is of.
#[derive(Debug)]
pub(super) struct Pin(pub(super) Arc<Segment>);

/// Makes checking readers of files that carry a [`Pin`].
#[derive(Debug)]
pub(super) struct CheckedReaders(pub(super) CachedParquetFileReaderFactory);

impl ParquetFileReaderFactory for CheckedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let segment = file.extension::<Pin>().map(|pin| Arc::clone(&pin.0));
        let reader = self.0.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(match segment {
            Some(segment) => Box::new(CheckedReader { segment, reader }),
            None => reader,
        })
    }
}

struct CheckedReader {
    segment: Arc<Segment>,
    reader: Box<dyn AsyncFileReader + Send>,
}

/// Checks ranges, off the runtime unless they were checked before.
async fn check(segment: &Arc<Segment>, ranges: Vec<Range<u64>>) -> Result<(), ParquetError> {
    if segment.is_checked(&ranges) {
        return Ok(());
    }
    let segment = Arc::clone(segment);
    let checked = tokio::task::spawn_blocking(move || segment.check(&ranges)).await;
    let checked = checked.map_err(|e| ParquetError::External(Box::new(e)))?;
    checked.map_err(|e| ParquetError::External(Box::new(e)))
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            check(&self.segment, vec![range.clone()]).await?;
            self.reader.get_bytes(range).await
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            check(&self.segment, ranges.clone()).await?;
            self.reader.get_byte_ranges(ranges).await
        }
        .boxed()
    }

    /// Opening a segment's checksums checks the footer and what belongs to it.
    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            check(&self.segment, Vec::new()).await?;
            self.reader.get_metadata(options).await
        }
        .boxed()
    }
}

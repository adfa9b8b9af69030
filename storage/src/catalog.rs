//! The catalog: which segments exist and up to which log entry they reach. One SQLite file, one
//! writer; publication of segments and the log watermark move in one transaction.

use std::path::Path;

use headrope_model::{DataSet, RollupSet};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};

use crate::error::StorageError;
use crate::snapshot::{Horizons, SegmentMeta};

/// Version of the catalog's tables.
const VERSION: u32 = 2;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS segment (
    id TEXT PRIMARY KEY,
    data_set TEXT NOT NULL,
    level INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    min_time INTEGER NOT NULL,
    max_time INTEGER NOT NULL,
    services TEXT,
    index_bytes INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS watermark (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO watermark VALUES (1, 0);
";

/// What version 2 adds. Segments from before were written without roll-ups.
const TO_VERSION_2: &str = "
BEGIN;
ALTER TABLE segment ADD COLUMN rollups INTEGER NOT NULL DEFAULT 0;
CREATE TABLE horizon (data_set TEXT PRIMARY KEY, time INTEGER NOT NULL) STRICT;
PRAGMA user_version = 2;
COMMIT;
";

/// The catalog of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pool: SqlitePool,
}

impl Catalog {
    /// Opens or creates the catalog file.
    pub(crate) async fn open(path: &Path) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await?;
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        if found > VERSION {
            let path = path.to_owned();
            return Err(StorageError::TooNew { path, found, supported: VERSION });
        }
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        if found < VERSION {
            sqlx::raw_sql(TO_VERSION_2).execute(&pool).await?;
        }
        Ok(Self { pool })
    }

    /// The watermark, every segment, oldest first, and up to when rows were dropped.
    pub(crate) async fn load(&self) -> Result<(u64, Vec<SegmentMeta>, Horizons), StorageError> {
        let seq = self.watermark().await?;
        let rows = sqlx::query("SELECT * FROM segment ORDER BY min_time, id")
            .fetch_all(&self.pool)
            .await?;
        let segments = rows.iter().map(decode).collect::<Result<_, _>>()?;
        let mut horizons = Horizons::default();
        for row in sqlx::query("SELECT * FROM horizon").fetch_all(&self.pool).await? {
            horizons.rise(data_set(&row)?, row.try_get("time")?);
        }
        Ok((seq, segments, horizons))
    }

    /// Sequence number of the last log entry whose rows are in segments.
    pub(crate) async fn watermark(&self) -> Result<u64, StorageError> {
        let seq: i64 =
            sqlx::query_scalar("SELECT seq FROM watermark").fetch_one(&self.pool).await?;
        Ok(seq.cast_unsigned())
    }

    /// Publishes the segments of a flush and moves the watermark, together.
    pub(crate) async fn publish(
        &self,
        segments: &[SegmentMeta],
        watermark: u64,
    ) -> Result<(), StorageError> {
        let mut tx = self.pool.begin().await?;
        for segment in segments {
            insert(&mut tx, segment).await?;
        }
        sqlx::query("UPDATE watermark SET seq = ?")
            .bind(watermark.cast_signed())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Removes segments past their age, and notes up to when rows were dropped, together.
    pub(crate) async fn expire(
        &self,
        old: &[String],
        up_to: &[(DataSet, i64)],
    ) -> Result<(), StorageError> {
        let mut tx = self.pool.begin().await?;
        for id in old {
            sqlx::query("DELETE FROM segment WHERE id = ?").bind(id).execute(&mut *tx).await?;
        }
        for (data_set, time) in up_to {
            sqlx::query(
                "INSERT INTO horizon VALUES (?, ?) \
                 ON CONFLICT (data_set) DO UPDATE SET time = max(time, excluded.time)",
            )
            .bind(data_set.name())
            .bind(time)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Replaces segments by others (a merge), together.
    pub(crate) async fn replace(
        &self,
        old: &[String],
        new: &[SegmentMeta],
    ) -> Result<(), StorageError> {
        let mut tx = self.pool.begin().await?;
        for id in old {
            sqlx::query("DELETE FROM segment WHERE id = ?").bind(id).execute(&mut *tx).await?;
        }
        for segment in new {
            insert(&mut tx, segment).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Closes the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    segment: &SegmentMeta,
) -> Result<(), StorageError> {
    let services = segment.services.as_ref().map(|names| names.join("\n"));
    sqlx::query("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(&segment.id)
        .bind(segment.data_set.name())
        .bind(i64::from(segment.level))
        .bind(segment.rows.cast_signed())
        .bind(segment.bytes.cast_signed())
        .bind(segment.min_time)
        .bind(segment.max_time)
        .bind(services)
        .bind(segment.index_bytes.map(u64::cast_signed))
        .bind(i64::from(segment.rollups.bits()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn data_set(row: &SqliteRow) -> Result<DataSet, StorageError> {
    let name: String = row.try_get("data_set")?;
    let unknown = || sqlx::Error::Decode(format!("unknown data set {name:?}").into());
    Ok(DataSet::from_name(&name).ok_or_else(unknown)?)
}

fn decode(row: &SqliteRow) -> Result<SegmentMeta, StorageError> {
    let services: Option<String> = row.try_get("services")?;
    Ok(SegmentMeta {
        id: row.try_get("id")?,
        data_set: data_set(row)?,
        level: row.try_get("level")?,
        rows: row.try_get::<i64, _>("rows")?.cast_unsigned(),
        bytes: row.try_get::<i64, _>("bytes")?.cast_unsigned(),
        min_time: row.try_get("min_time")?,
        max_time: row.try_get("max_time")?,
        services: services.map(|s| s.split('\n').map(str::to_owned).collect()),
        index_bytes: row.try_get::<Option<i64>, _>("index_bytes")?.map(i64::cast_unsigned),
        rollups: RollupSet::from_bits(row.try_get("rollups")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_catalog_of_version_1_is_brought_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let old = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        sqlx::raw_sql(TABLES).execute(&old).await.unwrap();
        let segment = "INSERT INTO segment VALUES ('a', 'spans', 1, 2, 3, 4, 5, 'cart', NULL)";
        sqlx::raw_sql(segment).execute(&old).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 1").execute(&old).await.unwrap();
        old.close().await;
        for _ in 0..2 {
            let catalog = Catalog::open(&path).await.unwrap();
            let (_, segments, horizons) = catalog.load().await.unwrap();
            let [meta] = segments.as_slice() else { panic!("{segments:?}") };
            assert_eq!((meta.id.as_str(), meta.rows, meta.rollups), ("a", 2, RollupSet::default()));
            assert_eq!(horizons, Horizons::default());
            catalog.close().await;
        }
        let catalog = Catalog::open(&path).await.unwrap();
        catalog.expire(&["a".to_owned()], &[(DataSet::Spans, 7)]).await.unwrap();
        catalog.expire(&[], &[(DataSet::Spans, 5), (DataSet::Logs, 1)]).await.unwrap();
        let (_, segments, horizons) = catalog.load().await.unwrap();
        assert!(segments.is_empty());
        assert_eq!((horizons.of(DataSet::Spans), horizons.of(DataSet::Logs)), (7, 1));
    }
}

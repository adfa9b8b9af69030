//! The catalog: which segments exist and up to which log entry they reach. One SQLite file, one
//! writer; publication of segments and the log watermark move in one transaction. A digest over all
//! rows is carried along, so that damage to the file is told from what was committed.

use std::path::{Path, PathBuf};

use headrope_model::{DataSet, RollupSet};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Column as _, Row as _, Sqlite, Transaction, TypeInfo as _, ValueRef as _};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::StorageError;
use crate::snapshot::{Horizons, SegmentMeta};

/// What makes the tables of each version out of those of the one before; the last is the current one.
const STEPS: &[&str] = &[
    "
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
PRAGMA user_version = 1;
",
    // Checksums of segments, the log entries they cover, and the digest of the catalog itself.
    "
ALTER TABLE segment ADD COLUMN checksum INTEGER;
ALTER TABLE segment ADD COLUMN covers TEXT;
ALTER TABLE watermark ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 2;
",
    // Roll-ups: which count a segment's spans, and up to when rows were dropped.
    "
ALTER TABLE segment ADD COLUMN rollups INTEGER NOT NULL DEFAULT 0;
CREATE TABLE horizon (data_set TEXT PRIMARY KEY, time INTEGER NOT NULL) STRICT;
PRAGMA user_version = 3;
",
];

/// The catalog of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pool: SqlitePool,
    path: PathBuf,
}

impl Catalog {
    /// Opens or creates the catalog file. Where there are segments already (`in_use`), a file that is
    /// missing or empty is not taken for a new one: their files would be removed as unknown.
    pub(crate) async fn open(path: &Path, in_use: bool) -> Result<Self, StorageError> {
        let no_catalog = || StorageError::NoCatalog { path: path.to_owned() };
        if in_use && !path.exists() {
            return Err(no_catalog());
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await?;
        if found == 0 && in_use {
            return Err(no_catalog());
        }
        let catalog = Self { pool, path: path.to_owned() };
        catalog.migrate(found).await?;
        Ok(catalog)
    }

    async fn migrate(&self, found: i64) -> Result<(), StorageError> {
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        let Some(steps) = STEPS.get(done..) else {
            let (path, found) = (self.path.clone(), u32::try_from(found).unwrap_or(u32::MAX));
            let supported = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
            return Err(StorageError::TooNew { path, found, supported });
        };
        if steps.is_empty() {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        for step in steps {
            sqlx::raw_sql(*step).execute(&mut *tx).await?;
        }
        let digest = digest(&mut tx).await?;
        set_digest(&mut tx, digest).await?;
        Ok(tx.commit().await?)
    }

    /// The watermark, every segment, oldest first, and up to when rows were dropped.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the rows are not those that were committed.
    pub(crate) async fn load(&self) -> Result<(u64, Vec<SegmentMeta>, Horizons), StorageError> {
        let mut tx = self.pool.begin().await?;
        let wanted: i64 =
            sqlx::query_scalar("SELECT digest FROM watermark").fetch_one(&mut *tx).await?;
        if digest(&mut tx).await? != wanted.cast_unsigned() {
            let detail = "its rows are not those that were committed; `headrope admin rebuild-catalog` makes it anew".to_owned();
            return Err(StorageError::Corrupt { path: self.path.clone(), offset: 0, detail });
        }
        let rows =
            sqlx::query("SELECT * FROM segment ORDER BY min_time, id").fetch_all(&mut *tx).await?;
        let segments = rows.iter().map(decode).collect::<Result<_, _>>()?;
        let mut horizons = Horizons::default();
        for row in sqlx::query("SELECT * FROM horizon").fetch_all(&mut *tx).await? {
            horizons.rise(data_set(&row)?, row.try_get("time")?);
        }
        drop(tx);
        Ok((self.watermark().await?, segments, horizons))
    }

    /// Sequence number of the last log entry whose rows are in segments.
    pub(crate) async fn watermark(&self) -> Result<u64, StorageError> {
        let seq: i64 =
            sqlx::query_scalar("SELECT seq FROM watermark").fetch_one(&self.pool).await?;
        Ok(seq.cast_unsigned())
    }

    /// Whether a segment is listed.
    pub(crate) async fn lists(&self, id: &str) -> Result<bool, StorageError> {
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM segment WHERE id = ?")
            .bind(id)
            .fetch_one(&self.pool)
            .await?;
        Ok(found > 0)
    }

    /// Publishes the segments of a flush and moves the watermark, together.
    pub(crate) async fn publish(
        &self,
        segments: &[SegmentMeta],
        watermark: u64,
    ) -> Result<(), StorageError> {
        let mut tx = self.pool.begin().await?;
        let (before, digest) = state(&mut tx).await?;
        let mut digest = digest ^ watermark_hash(before) ^ watermark_hash(watermark);
        for segment in segments {
            digest ^= insert(&mut tx, segment).await?;
        }
        sqlx::query("UPDATE watermark SET seq = ?")
            .bind(watermark.cast_signed())
            .execute(&mut *tx)
            .await?;
        set_digest(&mut tx, digest).await?;
        Ok(tx.commit().await?)
    }

    /// Removes segments past their limits, and notes up to when rows were dropped, together.
    pub(crate) async fn expire(
        &self,
        old: &[String],
        up_to: &[(DataSet, i64)],
    ) -> Result<(), StorageError> {
        let mut tx = self.pool.begin().await?;
        let (_, mut digest) = state(&mut tx).await?;
        for id in old {
            digest ^= row(&mut tx, id).await?;
            sqlx::query("DELETE FROM segment WHERE id = ?").bind(id).execute(&mut *tx).await?;
        }
        for (data_set, time) in up_to {
            digest ^= horizon(&mut tx, *data_set).await?;
            sqlx::query(
                "INSERT INTO horizon VALUES (?, ?) \
                 ON CONFLICT (data_set) DO UPDATE SET time = max(time, excluded.time)",
            )
            .bind(data_set.name())
            .bind(time)
            .execute(&mut *tx)
            .await?;
            digest ^= horizon(&mut tx, *data_set).await?;
        }
        set_digest(&mut tx, digest).await?;
        Ok(tx.commit().await?)
    }

    /// Replaces segments by others (a merge), together.
    ///
    /// # Errors
    /// Also when one of `old` is not listed: then memory and catalog disagree, and going on would store
    /// rows twice.
    pub(crate) async fn replace(
        &self,
        old: &[String],
        new: &[SegmentMeta],
    ) -> Result<(), StorageError> {
        let mut tx = self.pool.begin().await?;
        let (_, mut digest) = state(&mut tx).await?;
        for id in old {
            digest ^= row(&mut tx, id).await?;
            sqlx::query("DELETE FROM segment WHERE id = ?").bind(id).execute(&mut *tx).await?;
        }
        for segment in new {
            digest ^= insert(&mut tx, segment).await?;
        }
        set_digest(&mut tx, digest).await?;
        Ok(tx.commit().await?)
    }

    /// Writes a copy of the committed state to a new file.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StorageError> {
        let path = path.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO ?").bind(path).execute(&self.pool).await?;
        Ok(())
    }

    /// Closes the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Hash of the watermark, a part of the digest.
fn watermark_hash(seq: u64) -> u64 {
    xxh3_64(format!("watermark {seq}").as_bytes())
}

/// Hash of a row, whatever its columns are: names, types and values.
fn row_hash(row: &SqliteRow) -> Result<u64, sqlx::Error> {
    let mut text = String::new();
    for (at, column) in row.columns().iter().enumerate() {
        let value = row.try_get_raw(at)?;
        let kind = value.type_info().name().to_owned();
        let value = match kind.as_str() {
            "NULL" => String::new(),
            "INTEGER" => row.try_get::<i64, _>(at)?.to_string(),
            _ => row.try_get::<String, _>(at)?,
        };
        for part in [column.name(), &kind, &value] {
            text.push_str(&format!("{}:{part};", part.len()));
        }
    }
    Ok(xxh3_64(text.as_bytes()))
}

/// The digest of what the tables hold: the hashes of all rows and of the watermark, combined by
/// exclusive or, so that a transaction can carry it on by the rows it touches. `SQLite` has no
/// checksums of its own; without this a flipped bit would pass for a segment's row count.
async fn digest(tx: &mut Transaction<'_, Sqlite>) -> Result<u64, StorageError> {
    let (seq, _) = state(tx).await?;
    let mut rows = sqlx::query("SELECT * FROM segment").fetch_all(&mut **tx).await?;
    rows.extend(sqlx::query("SELECT * FROM horizon").fetch_all(&mut **tx).await?);
    let hashes = rows.iter().map(row_hash).collect::<Result<Vec<_>, _>>()?;
    Ok(hashes.into_iter().fold(watermark_hash(seq), |all, one| all ^ one))
}

/// Watermark and digest as stored.
async fn state(tx: &mut Transaction<'_, Sqlite>) -> Result<(u64, u64), StorageError> {
    let (seq, digest): (i64, i64) =
        sqlx::query_as("SELECT seq, digest FROM watermark").fetch_one(&mut **tx).await?;
    Ok((seq.cast_unsigned(), digest.cast_unsigned()))
}

async fn set_digest(tx: &mut Transaction<'_, Sqlite>, digest: u64) -> Result<(), StorageError> {
    sqlx::query("UPDATE watermark SET digest = ?")
        .bind(digest.cast_signed())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The hash of a listed segment's row.
async fn row(tx: &mut Transaction<'_, Sqlite>, id: &str) -> Result<u64, StorageError> {
    let row =
        sqlx::query("SELECT * FROM segment WHERE id = ?").bind(id).fetch_one(&mut **tx).await?;
    Ok(row_hash(&row)?)
}

/// The hash of a data set's horizon, 0 without one.
async fn horizon(tx: &mut Transaction<'_, Sqlite>, of: DataSet) -> Result<u64, StorageError> {
    let row = sqlx::query("SELECT * FROM horizon WHERE data_set = ?")
        .bind(of.name())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.as_ref().map(row_hash).transpose()?.unwrap_or_default())
}

/// Lists a segment; returns the hash of its row.
async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    segment: &SegmentMeta,
) -> Result<u64, StorageError> {
    let services = segment.services.as_ref().map(|names| names.join("\n"));
    let sql = "INSERT INTO segment (id, data_set, level, rows, bytes, min_time, max_time, \
               services, index_bytes, checksum, covers, rollups) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(&segment.id)
        .bind(segment.data_set.name())
        .bind(i64::from(segment.level))
        .bind(segment.rows.cast_signed())
        .bind(segment.bytes.cast_signed())
        .bind(segment.min_time)
        .bind(segment.max_time)
        .bind(services)
        .bind(segment.index_bytes.map(u64::cast_signed))
        .bind(segment.checksum.map(i64::from))
        .bind(segment.covers.as_ref().map(ToString::to_string))
        .bind(i64::from(segment.rollups.bits()))
        .execute(&mut **tx)
        .await?;
    row(tx, &segment.id).await
}

fn data_set(row: &SqliteRow) -> Result<DataSet, StorageError> {
    let name: String = row.try_get("data_set")?;
    let unknown = || sqlx::Error::Decode(format!("unknown data set {name:?}").into());
    Ok(DataSet::from_name(&name).ok_or_else(unknown)?)
}

fn decode(row: &SqliteRow) -> Result<SegmentMeta, StorageError> {
    let services: Option<String> = row.try_get("services")?;
    let covers: Option<String> = row.try_get("covers")?;
    let covers = covers.map(|text| text.parse()).transpose();
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
        checksum: row.try_get("checksum")?,
        covers: covers.map_err(|e: String| sqlx::Error::Decode(e.into()))?,
        rollups: RollupSet::from_bits(row.try_get("rollups")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::covers::Covers;

    fn meta(id: &str) -> SegmentMeta {
        SegmentMeta {
            id: id.to_owned(),
            data_set: DataSet::Logs,
            level: 0,
            rows: 7,
            bytes: 100,
            min_time: 1,
            max_time: 2,
            services: Some(vec!["a".to_owned(), "b".to_owned()]),
            index_bytes: Some(3),
            checksum: Some(u32::MAX),
            covers: Some(Covers::range(1, 9)),
            rollups: RollupSet::default().with(DataSet::OperationRollup),
        }
    }

    #[tokio::test]
    async fn a_catalog_of_version_1_is_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        sqlx::raw_sql(STEPS[0]).execute(&pool).await.unwrap();
        let old = "INSERT INTO segment VALUES ('x', 'spans', 1, 5, 50, 3, 4, 'a', NULL);
                   UPDATE watermark SET seq = 6";
        sqlx::raw_sql(old).execute(&pool).await.unwrap();
        pool.close().await;
        for _ in 0..2 {
            let catalog = Catalog::open(&path, true).await.unwrap();
            let (seq, metas, horizons) = catalog.load().await.unwrap();
            assert_eq!(horizons, Horizons::default());
            assert_eq!(metas[0].rollups, RollupSet::default());
            assert_eq!((seq, metas.len()), (6, 1));
            assert_eq!((metas[0].rows, metas[0].checksum, &metas[0].covers), (5, None, &None));
            catalog.close().await;
        }
    }

    #[tokio::test]
    async fn what_was_committed_comes_back_and_nothing_else_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.sqlite");
        let missing = Catalog::open(&path, true).await.unwrap_err();
        assert!(matches!(missing, StorageError::NoCatalog { .. }));
        let catalog = Catalog::open(&path, false).await.unwrap();
        catalog.publish(&[meta("a"), meta("b")], 9).await.unwrap();
        catalog.replace(&["a".to_owned()], &[meta("c")]).await.unwrap();
        catalog.expire(&[], &[(DataSet::Spans, 7), (DataSet::Logs, 1)]).await.unwrap();
        catalog.expire(&[], &[(DataSet::Spans, 5)]).await.unwrap();
        let mut horizons = Horizons::default();
        horizons.rise(DataSet::Spans, 7);
        horizons.rise(DataSet::Logs, 1);
        let want = (9, vec![meta("b"), meta("c")], horizons);
        assert_eq!(catalog.load().await.unwrap(), want);
        // A merge whose inputs are not listed any more must not list its output.
        let gone = catalog.replace(&["a".to_owned()], &[meta("d")]).await;
        assert!(gone.is_err());
        assert_eq!(catalog.load().await.unwrap(), want);
        for damage in [
            "UPDATE segment SET rows = 8 WHERE id = 'b'",
            "UPDATE segment SET services = 'c' WHERE id = 'b'",
            "UPDATE watermark SET seq = 8",
            "DELETE FROM segment WHERE id = 'c'",
            "UPDATE horizon SET time = 6 WHERE data_set = 'spans'",
        ] {
            let mut tx = catalog.pool.begin().await.unwrap();
            sqlx::raw_sql(damage).execute(&mut *tx).await.unwrap();
            let (_, stored) = state(&mut tx).await.unwrap();
            assert_ne!(digest(&mut tx).await.unwrap(), stored, "{damage}");
            tx.rollback().await.unwrap();
        }
        sqlx::raw_sql("UPDATE segment SET level = 3").execute(&catalog.pool).await.unwrap();
        assert!(matches!(catalog.load().await, Err(StorageError::Corrupt { .. })));
    }
}

//! Opens the file and reads what the log must know before it takes calls.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::{Builder, Database, ReadableTable};

use super::errors::storage;
use super::registry::{Registry, Topic};
use super::tables::{BOOTS, COMMITTED, FORMAT, FORMAT_VERSION, META, PARTITIONS, RECORDS, TOPICS};
use crate::{EventError, PartitionState};

/// The most memory that pages of the file take, bytes.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct Opened {
    pub(super) db: Database,
    pub(super) registry: Registry,
    /// How often the log was opened, this time included.
    pub(super) boots: u64,
}

pub(super) fn open(path: &Path) -> Result<Opened, EventError> {
    let cannot = |error: io::Error| EventError::Unavailable(format!("{}: {error}", path.display()));
    create(path).map_err(cannot)?;
    let db = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_repair_callback(|repair| {
            tracing::info!(progress = repair.progress(), "repairing the event log");
        })
        .create(path)
        .map_err(|error| match storage(error) {
            EventError::Corrupt(reason) => {
                EventError::Corrupt(format!("{}: {reason}", path.display()))
            }
            other => EventError::Unavailable(format!("{}: {other}", path.display())),
        })?;
    let (registry, boots) = prepare(&db)?;
    Ok(Opened {
        db,
        registry,
        boots,
    })
}

/// Makes the file and its name in the folder durable, so that a loss of power cannot take away a log that has
/// acknowledged records.
fn create(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let created = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    File::open(parent)?.sync_all()
}

/// Checks the form, counts the opening, creates the tables, and reads the topics.
fn prepare(db: &Database) -> Result<(Registry, u64), EventError> {
    let transaction = db.begin_write().map_err(storage)?;
    let registry = Registry::default();
    let boots;
    {
        let mut meta = transaction.open_table(META).map_err(storage)?;
        let format = meta
            .get(FORMAT)
            .map_err(storage)?
            .map_or(FORMAT_VERSION, |v| v.value());
        if format != FORMAT_VERSION {
            return Err(EventError::Corrupt(format!(
                "the log has form {format}; this build reads form {FORMAT_VERSION}"
            )));
        }
        meta.insert(FORMAT, FORMAT_VERSION).map_err(storage)?;
        boots = meta.get(BOOTS).map_err(storage)?.map_or(0, |v| v.value()) + 1;
        meta.insert(BOOTS, boots).map_err(storage)?;
        transaction.open_table(RECORDS).map_err(storage)?;
        transaction.open_table(COMMITTED).map_err(storage)?;
        let states = transaction.open_table(PARTITIONS).map_err(storage)?;
        let topics = transaction.open_table(TOPICS).map_err(storage)?;
        for entry in topics.iter().map_err(storage)? {
            let (name, topic) = entry.map_err(storage)?;
            let (id, partitions, retention_ms) = topic.value();
            let mut held = Vec::new();
            for partition in 0..partitions {
                let state = states.get((id, partition)).map_err(storage)?;
                let (first_offset, next_offset) = state.map_or((0, 0), |state| state.value());
                held.push(PartitionState {
                    first_offset,
                    next_offset,
                });
            }
            registry.insert(Topic::new(id, name.value().to_owned(), retention_ms, held));
        }
    }
    transaction.commit().map_err(storage)?;
    Ok((registry, boots))
}

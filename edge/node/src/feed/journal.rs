//! What the feed told, as it is kept over a restart.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use mcsp_auth_edge::MediaKeyMaterial;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The file's name inside the node's folder.
const FILE: &str = "feed.json";
const FORMAT: u32 = 2;
/// The largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Sessions of a kind that are kept; those that expire first go first.
const SESSIONS_MAX: usize = 200_000;

/// Keys and revocations in force, and where in which feed they are from. Purges are not in it: the cache keeps
/// its own history of them, which is on disk before this says that they were applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    format: u32,
    /// The feed's identity.
    pub(crate) epoch: String,
    pub(crate) applied_sequence: u64,
    /// When the feed was last heard of, Unix milliseconds.
    pub(crate) contact_ms: i64,
    /// By region.
    pub(crate) key_sets: BTreeMap<String, String>,
    /// By region code and key id, `{code}:{id}`.
    pub(crate) media_keys: BTreeMap<String, MediaKeyMaterial>,
    /// When the last token of an ended session expires, Unix seconds.
    pub(crate) media_sessions: BTreeMap<String, i64>,
    pub(crate) user_sessions: BTreeMap<String, i64>,
}

/// Why what was kept cannot be used.
#[derive(Debug, Error)]
pub(crate) enum JournalError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("others may read it; expected mode 0600")]
    Exposed,
    #[error("is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("is not what this version writes: {0}")]
    Form(String),
}

impl Journal {
    /// Reads what an earlier run kept; nothing when there is none.
    pub(crate) fn load(state_dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = state_dir.join(FILE);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(JournalError::Exposed);
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(JournalError::TooLarge);
        }
        let journal: Self = serde_json::from_slice(&fs::read(&path)?)
            .map_err(|error| JournalError::Form(error.to_string()))?;
        if journal.format != FORMAT {
            return Err(JournalError::Form(format!("format {}", journal.format)));
        }
        Ok(Some(journal))
    }

    /// Writes the file, mode 0600, whole or not at all.
    pub(crate) fn save(&self, state_dir: &Path) -> Result<(), JournalError> {
        let mut journal = self.clone();
        journal.format = FORMAT;
        let bytes =
            serde_json::to_vec(&journal).map_err(|error| JournalError::Form(error.to_string()))?;
        let temporary = state_dir.join(format!("{FILE}.new"));
        // A leftover of a crash might have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, state_dir.join(FILE))?;
        fs::File::open(state_dir)?.sync_all()?;
        Ok(())
    }

    /// Notes an ended session.
    pub(crate) fn end_session(
        sessions: &mut BTreeMap<String, i64>,
        id: String,
        expires_s: i64,
        now_s: i64,
    ) {
        const MARGIN_S: i64 = 300;
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, expires_s| expires_s.saturating_add(MARGIN_S) >= now_s);
        }
        if sessions.len() >= SESSIONS_MAX {
            let first = sessions.iter().min_by_key(|(_, expires_s)| **expires_s);
            if let Some(id) = first.map(|(id, _)| id.clone()) {
                sessions.remove(&id);
            }
        }
        let end = sessions.entry(id).or_insert(expires_s);
        *end = (*end).max(expires_s);
    }
}

#[cfg(test)]
mod tests {
    use mcsp_auth_edge::MediaAlgorithm;
    use tempfile::TempDir;

    use super::*;

    fn journal() -> Journal {
        let key = MediaKeyMaterial {
            key_id: "0123456789abcdef".to_owned(),
            region: "ng".parse().unwrap(),
            algorithm: MediaAlgorithm::HmacSha256,
            key: vec![7; 32],
            not_before_s: 0,
            not_after_s: i64::MAX,
        };
        Journal {
            format: FORMAT,
            epoch: "e".to_owned(),
            applied_sequence: 9,
            contact_ms: 1,
            key_sets: BTreeMap::from([("ng-lagos".to_owned(), "{\"keys\":[]}".to_owned())]),
            media_keys: BTreeMap::from([(format!("ng:{}", key.key_id), key)]),
            media_sessions: BTreeMap::from([("ms".to_owned(), 5)]),
            user_sessions: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_the_owner_may_read_it() {
        let dir = TempDir::new().unwrap();
        assert!(Journal::load(dir.path()).unwrap().is_none());
        journal().save(dir.path()).unwrap();
        journal().save(dir.path()).unwrap();
        assert_eq!(Journal::load(dir.path()).unwrap(), Some(journal()));
        let file = dir.path().join(FILE);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Journal::load(dir.path()),
            Err(JournalError::Exposed)
        ));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_state() {
        let dir = TempDir::new().unwrap();
        journal().save(dir.path()).unwrap();
        let file = dir.path().join(FILE);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(
            Journal::load(dir.path()),
            Err(JournalError::Form(_))
        ));
    }

    #[test]
    fn a_later_end_of_a_session_wins() {
        let mut sessions = BTreeMap::new();
        for expires_s in [5, 9, 7] {
            Journal::end_session(&mut sessions, "s".to_owned(), expires_s, 0);
        }
        assert_eq!(sessions, BTreeMap::from([("s".to_owned(), 9)]));
    }
}

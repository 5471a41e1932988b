//! Unfinished uploads, so that another run of the command resumes them.

use std::fs;
use std::io;

use mcsp_runtime::SharedEntropy;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::settings::ConfigDir;

/// One unfinished upload. Which parts are there is not kept: the server knows it better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadState {
    /// Written before the session is asked for: if the answer is lost, asking again with it gives the same session.
    pub(crate) idempotency_key: String,
    /// The request that the key stands for, so that asking again asks the same.
    pub(crate) request: serde_json::Value,
    /// The session, once it is known.
    pub(crate) upload_id: Option<String>,
}

/// `uploads/{key}.json` in the configuration folder.
#[derive(Debug, Clone)]
pub(crate) struct UploadStates {
    dir: ConfigDir,
    entropy: SharedEntropy,
}

impl UploadStates {
    pub(crate) fn new(dir: ConfigDir, entropy: SharedEntropy) -> Self {
        Self { dir, entropy }
    }

    /// The state under this key; one that cannot be read counts as none.
    pub(crate) fn load(&self, key: &str) -> Result<Option<UploadState>, CliError> {
        let path = self.dir.path(&name(key));
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CliError::Keep { path, source }),
        }
    }

    pub(crate) fn save(&self, key: &str, state: &UploadState) -> Result<(), CliError> {
        let bytes =
            serde_json::to_vec(state).map_err(|error| CliError::Answer(error.to_string()))?;
        self.dir.write(&name(key), &bytes, &*self.entropy)
    }

    pub(crate) fn remove(&self, key: &str) -> Result<(), CliError> {
        self.dir.remove(&name(key))
    }
}

fn name(key: &str) -> String {
    format!("uploads/{key}.json")
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::SeededEntropy;

    use super::*;

    #[test]
    fn a_state_reads_back_and_a_damaged_one_counts_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = ConfigDir::open(Some(folder.path())).expect("a folder");
        let states = UploadStates::new(dir.clone(), SeededEntropy::new(1));
        assert_eq!(states.load("k").expect("read"), None);
        let state = UploadState {
            idempotency_key: "i".to_owned(),
            request: serde_json::json!({}),
            upload_id: Some("up".to_owned()),
        };
        states.save("k", &state).expect("written");
        assert_eq!(states.load("k").expect("read"), Some(state));
        fs::write(dir.path("uploads/k.json"), "{").expect("written");
        assert_eq!(states.load("k").expect("read"), None);
        states.remove("k").expect("removed");
        states.remove("k").expect("removed twice");
    }
}

//! What `cargo xtask bench edge-cache` has measured.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// The most that is read, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A bench's file that is there and cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MeasuredError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not a bench's.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What work costs, as measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeasuredCosts {
    /// Processor time for a GB of 2 MiB objects over TLS, the costliest of its rows, s.
    pub media_core_s_gb: Option<f64>,
    /// The file, its commit, and the row.
    pub source: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    commit: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    case: String,
    metric: String,
    unit: String,
    ours: f64,
}

impl MeasuredCosts {
    /// Reads `edge-cache.json`; none: there is no such file.
    ///
    /// # Errors
    /// A file that is there and cannot be read, or is not a bench's, or has no row for large objects over TLS.
    pub fn load(path: &Path) -> Result<Option<Self>, MeasuredError> {
        use std::io::Read as _;
        let failed = |source| MeasuredError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Self::parse(&text, path).map(Some)
    }

    /// As [`MeasuredCosts::load`], from text; `path` stands for it.
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str, path: &Path) -> Result<Self, MeasuredError> {
        let failed = |reason: String| MeasuredError::Content {
            path: path.to_owned(),
            reason,
        };
        let document: Document =
            serde_json::from_str(text).map_err(|error| failed(error.to_string()))?;
        let is_media = |row: &&Row| {
            let is_large_tls = row.case.contains("2 MiB") && row.case.contains("TLS");
            is_large_tls
                && row.metric == "CPU"
                && row.unit == "s/GB"
                && row.ours > 0.0
                && row.ours.is_finite()
        };
        // A plan rests on the costliest way in, not on the mean of rows that nobody weighs.
        let costliest = document
            .rows
            .iter()
            .filter(is_media)
            .max_by(|a, b| a.ours.total_cmp(&b.ours));
        let row = costliest
            .ok_or_else(|| failed("expected rows CPU, s/GB of 2 MiB over TLS".to_owned()))?;
        Ok(Self {
            media_core_s_gb: Some(row.ours),
            source: format!("{} at {} ({})", path.display(), document.commit, row.case),
        })
    }
}

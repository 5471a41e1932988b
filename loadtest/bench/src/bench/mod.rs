//! The measurements.

mod child;
mod closed_loop;
mod open_loop;
mod players;
mod quantiles;
mod rows;
mod server;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use thiserror::Error;

pub(crate) use rows::Row;

use mcsp_loadtest_report::Recorded;

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A program or the system did not do what it should.
    #[error("{0}")]
    Broken(String),
}

impl BenchError {
    pub(crate) fn broken(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Broken(format!("{what}: {error}"))
    }
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Quantiles against a server of known delays.
    Quantiles,
    /// Closed-loop throughput beside wrk.
    Wrk,
    /// CPU for an open loop beside k6.
    K6,
    /// Ten thousand players of sound, a thousand of pictures.
    Players,
}

/// The programs, and where things are kept.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) load: PathBuf,
    pub(crate) wrk: Option<PathBuf>,
    pub(crate) k6: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    pub(crate) passes: u32,
}

impl Bench {
    /// Measures, and tells row by row.
    ///
    /// # Errors
    /// When a program does not run to its end.
    pub(crate) fn run(&self, only: &[Part]) -> Result<Vec<Row>, BenchError> {
        std::fs::create_dir_all(&self.data_dir).map_err(|source| BenchError::File {
            path: self.data_dir.clone(),
            source,
        })?;
        let wants = |part: Part| only.is_empty() || only.contains(&part);
        let mut rows = Vec::new();
        if wants(Part::Quantiles) {
            rows.extend(quantiles::run(self)?);
        }
        if wants(Part::Wrk) {
            match &self.wrk {
                Some(wrk) => rows.extend(closed_loop::run(self, wrk)?),
                None => eprintln!("no wrk: its rows are not run"),
            }
        }
        if wants(Part::K6) {
            match &self.k6 {
                Some(k6) => rows.extend(open_loop::run(self, k6)?),
                None => eprintln!("no k6: its rows are not run"),
            }
        }
        if wants(Part::Players) {
            rows.extend(players::run(self)?);
        }
        Ok(rows)
    }

    /// Writes a scenario; where it is.
    pub(crate) fn scenario(&self, name: &str, text: &str) -> Result<PathBuf, BenchError> {
        let path = self.data_dir.join(format!("{name}.toml"));
        std::fs::write(&path, text).map_err(|source| BenchError::File {
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// The folder of a run's results.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }
}

/// What a run left.
pub(crate) fn recorded(out: &Path) -> Result<Recorded, BenchError> {
    let path = out.join("results.json");
    let text = std::fs::read_to_string(&path).map_err(|source| BenchError::File {
        path: path.clone(),
        source,
    })?;
    Recorded::from_json(&text)
        .map_err(|error| BenchError::broken(&path.display().to_string(), error))
}

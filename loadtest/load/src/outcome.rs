//! What is left of a run: files, a summary, an exit status.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use mcsp_loadtest_measure::Results;
use mcsp_loadtest_report::{Recorded, html, json, junit, text_summary};

use crate::error::LoadError;
use crate::show::has_colour;

/// Columns of output that is no terminal, and the most that is read well.
const COLUMNS: usize = 100;

/// How a run is told of.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    pub(crate) out: PathBuf,
    pub(crate) is_json: bool,
    pub(crate) is_quiet: bool,
}

/// Writes a run's files, prints what is asked for, and gives the exit status.
///
/// # Errors
/// When a file cannot be written; the summary is printed before that is said.
pub(crate) fn tell(results: Results, telling: &Telling) -> Result<u8, LoadError> {
    let recorded = Recorded::new(results, env!("CARGO_PKG_VERSION"));
    let text = json(&recorded)?;
    if telling.is_json {
        println!("{text}");
    } else if telling.is_quiet {
        let verdict = &recorded.results.verdict;
        println!("{}: {}", verdict.kind.name(), verdict.reasons.join("; "));
    } else {
        let colour = std::io::stdout().is_terminal() && has_colour();
        print!("{}", text_summary(&recorded, columns(), colour));
    }
    let report = write(&telling.out, &recorded, Some(&text))?;
    if !telling.is_json && !telling.is_quiet {
        println!("report: {}", report.display());
    }
    Ok(recorded.exit_status())
}

/// Writes `report.html`, `junit.xml` and, if given, `results.json`; where the report is.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(
    folder: &Path,
    recorded: &Recorded,
    json: Option<&str>,
) -> Result<PathBuf, LoadError> {
    std::fs::create_dir_all(folder).map_err(|source| LoadError::file(folder, source))?;
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| LoadError::file(&path, source))
    };
    // What cannot be made again comes first.
    if let Some(json) = json {
        put("results.json", json)?;
    }
    put("junit.xml", &junit(recorded))?;
    put("report.html", &html(recorded))?;
    let report = folder.join("report.html");
    Ok(std::path::absolute(&report).unwrap_or(report))
}

/// How wide a text may be: as wide as the terminal, but not wider than is read well.
pub(crate) fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .map_or(COLUMNS, |size| usize::from(size.ws_col))
        .clamp(40, COLUMNS)
}

//! `mcsp-load compare` and `mcsp-load report`: what was kept of runs.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use mcsp_loadtest_report::{CompareOptions, Recorded, compare as compare_runs};

use crate::args::{CompareArgs, ReportArgs};
use crate::error::LoadError;
use crate::outcome;
use crate::show::has_colour;

/// The largest `results.json` that is read, bytes.
const RESULTS_BYTES_MAX: u64 = 1 << 30;

/// Tells what got worse; exit status 1 when something did.
pub(crate) fn compare(args: &CompareArgs) -> Result<u8, LoadError> {
    if !(0.0..=1.0).contains(&args.tolerance) {
        return Err(LoadError::Usage(format!(
            "--tolerance {}: expected 0 to 1",
            args.tolerance
        )));
    }
    let (_, a) = read(&args.a)?;
    let (_, b) = read(&args.b)?;
    let options = CompareOptions {
        tolerance: args.tolerance,
        ..CompareOptions::default()
    };
    let comparison = compare_runs(&a, &b, options)?;
    if args.json {
        let json = comparison
            .json()
            .map_err(|error| LoadError::system("writing JSON", error))?;
        println!("{json}");
    } else {
        let colour = std::io::stdout().is_terminal() && has_colour();
        print!("{}", comparison.text(outcome::columns(), colour));
    }
    Ok(u8::from(comparison.got_worse()))
}

/// Writes a run's report again.
pub(crate) fn report(args: &ReportArgs) -> Result<u8, LoadError> {
    let (path, recorded) = read(&args.results)?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let folder = args.out.as_deref().unwrap_or(beside);
    let report = outcome::write(folder, &recorded, None)?;
    println!("report: {}", report.display());
    Ok(0)
}

/// A run by its file, or by the folder that has it.
fn read(given: &Path) -> Result<(PathBuf, Recorded), LoadError> {
    let path = if given.is_dir() {
        given.join("results.json")
    } else {
        given.to_owned()
    };
    let failed = |source| LoadError::file(&path, source);
    let mut text = String::new();
    let file = std::fs::File::open(&path).map_err(failed)?;
    file.take(RESULTS_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    match Recorded::from_json(&text) {
        Ok(recorded) => Ok((path, recorded)),
        Err(source) => Err(LoadError::Recorded { path, source }),
    }
}

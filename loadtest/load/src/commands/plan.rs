//! `mcsp-load plan`.

use std::path::{Path, PathBuf};

use mcsp_loadtest_plan::{Inputs, MeasuredCosts, Plan, Year, plan as make, table};

use crate::args::PlanArgs;
use crate::error::LoadError;
use crate::outcome;

/// Where `cargo xtask bench edge-cache` puts what it has measured.
const MEASURED: &str = "target/bench/edge-cache.json";

/// Prints the plan of a year, or of both.
pub(crate) fn plan(args: &PlanArgs) -> Result<u8, LoadError> {
    let years = match args.year {
        None => vec![Year::One, Year::Three],
        Some(1) => vec![Year::One],
        Some(3) => vec![Year::Three],
        Some(other) => {
            return Err(LoadError::Usage(format!(
                "--year {other}: there are stated scales for 1 and 3"
            )));
        }
    };
    let costs = measured(args.measured.as_deref())?;
    let mut plans: Vec<Plan> = Vec::new();
    for year in years {
        let mut inputs = Inputs::of_year(year);
        if let Some(costs) = &costs {
            inputs = inputs.with_measured(costs);
        }
        for given in &args.set {
            let (name, value) = number(given)?;
            inputs.set(name, value)?;
        }
        plans.push(make(&inputs)?);
    }
    if args.json {
        let json = serde_json::to_string_pretty(&plans)
            .map_err(|error| LoadError::system("writing JSON", error))?;
        println!("{json}");
        return Ok(0);
    }
    for (index, plan) in plans.iter().enumerate() {
        if index > 0 {
            println!();
        }
        print!("{}", table(plan, outcome::columns()));
    }
    Ok(0)
}

/// What was measured; a file that is named has to be there, the usual one need not.
fn measured(named: Option<&Path>) -> Result<Option<MeasuredCosts>, LoadError> {
    let usual = PathBuf::from(MEASURED);
    let costs = MeasuredCosts::load(named.unwrap_or(&usual))?;
    match (named, costs) {
        (Some(file), None) => Err(LoadError::Usage(format!(
            "--measured {}: there is no such file; `cargo xtask bench edge-cache` makes one",
            file.display()
        ))),
        (_, costs) => Ok(costs),
    }
}

fn number(given: &str) -> Result<(&str, f64), LoadError> {
    let wrong = || {
        LoadError::Usage(format!(
            "--set {given}: expected NAME=NUMBER, such as viewers=200000"
        ))
    };
    let (name, value) = given.split_once('=').ok_or_else(wrong)?;
    Ok((name.trim(), value.trim().parse().map_err(|_| wrong())?))
}

//! `mcsp-load check`.

use mcsp_loadtest_scenario::Schedule;

use crate::args::CheckArgs;
use crate::error::LoadError;
use crate::prepare;

/// Reads a scenario, and says what load it is.
pub(crate) fn check(args: &CheckArgs) -> Result<u8, LoadError> {
    let (scenario, _) = prepare::scenario(&args.scenario)?;
    let schedule = Schedule::whole(&scenario);
    let top_per_s = (0..=scenario.duration_s)
        .map(|second| schedule.rate_per_s(second * 1_000_000))
        .fold(0.0, f64::max);
    println!(
        "{}: about {:.0} users in {} s, up to {:.1} a second; {} SLOs, {} chaos steps",
        scenario.name,
        schedule.users_expected(),
        scenario.duration_s,
        top_per_s,
        scenario.slo.len(),
        scenario.chaos.len()
    );
    Ok(0)
}

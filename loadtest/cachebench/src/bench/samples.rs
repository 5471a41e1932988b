//! What was measured so far: kept in a file, so that a long run can be done in parts, on a machine that is quiet for some
//! minutes at a time.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::load::Sample;
use super::{Case, Contender};
use crate::error::BenchError;

/// What came of one contender's passes in one case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Tried {
    /// In the order in which they were taken.
    pub(super) samples: Vec<Sample>,
    /// Why each pass failed that has no sample.
    #[serde(default)]
    pub(super) failures: Vec<String>,
}

impl Tried {
    /// What is said of the passes that failed, in a line; nothing where none did.
    pub(super) fn failed(&self) -> Option<String> {
        let mut reasons: Vec<&str> = Vec::new();
        for failure in &self.failures {
            let first = failure.lines().next().unwrap_or_default();
            if !reasons.contains(&first) {
                reasons.push(first);
            }
        }
        let (count, reasons) = (self.failures.len(), reasons.join("; "));
        match (count, self.samples.len()) {
            (0, _) => None,
            (_, 0) => Some(format!("failed: {reasons}")),
            (_, passed) => Some(format!(
                "failed in {count} of {} passes: {reasons}",
                count + passed
            )),
        }
    }
}

/// Who was tried in a case, and what came of it.
pub(super) type Measured<'a> = [(Contender, &'a Tried)];

/// What came of each case and contender that was tried.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<(Case, Contender), Tried>);

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    case: Case,
    contender: Contender,
    #[serde(flatten)]
    tried: Tried,
}

impl Samples {
    /// What the file holds; nothing of one that is not there.
    ///
    /// # Errors
    /// When it cannot be read, or is another's.
    pub(super) fn load(path: &Path) -> Result<Self, BenchError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(BenchError::file(path, source)),
        };
        let records: Vec<Record> = serde_json::from_slice(&text)
            .map_err(|error| BenchError::Answer(format!("{}: {error}", path.display())))?;
        let samples = records
            .into_iter()
            .map(|record| ((record.case, record.contender), record.tried));
        Ok(Self(samples.collect()))
    }

    /// Writes all of them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<(), BenchError> {
        let records: Vec<Record> = self
            .0
            .iter()
            .map(|((case, contender), tried)| Record {
                case: *case,
                contender: *contender,
                tried: tried.clone(),
            })
            .collect();
        crate::report::write_json(path, &records)
    }

    /// Forgets a case, which is to be measured anew.
    pub(super) fn forget(&mut self, case: &Case) {
        self.0.retain(|(known, _), _| known != case);
    }

    /// Adds what came of a pass: a sample, or why there is none.
    pub(super) fn add(&mut self, case: Case, contender: Contender, pass: Result<Sample, String>) {
        let tried = self.0.entry((case, contender)).or_default();
        match pass {
            Ok(sample) => tried.samples.push(sample),
            Err(reason) => tried.failures.push(reason),
        }
    }

    /// Every case, and who was tried in it.
    pub(super) fn cases(&self) -> BTreeMap<Case, Vec<(Contender, &Tried)>> {
        let mut cases: BTreeMap<Case, Vec<(Contender, &Tried)>> = BTreeMap::new();
        for ((case, contender), tried) in &self.0 {
            cases.entry(*case).or_default().push((*contender, tried));
        }
        cases
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::{Protocol, Tier};
    use crate::server::Kind;

    /// One with this figure.
    pub(in crate::bench) fn sample(cpu_us: f64) -> Sample {
        Sample {
            requests_s: 1.0,
            cpu_us,
            cpu_s_gb: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            resident_mib: 1.0,
            origin_requests: 0,
        }
    }

    #[test]
    fn parts_of_a_run_add_up_and_a_case_that_is_run_again_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.json");
        let case = |connections| Case {
            object_bytes: 1024,
            protocol: Protocol::H2,
            tier: Tier::Disk,
            connections,
        };
        for connections in [1, 32, 1] {
            let mut samples = Samples::load(&path).unwrap();
            samples.forget(&case(connections));
            for contender in [Contender::Media, Contender::Plain(Kind::Varnish)] {
                for cpu_us in [1.0, 2.0] {
                    samples.add(case(connections), contender, Ok(sample(cpu_us)));
                }
            }
            let failed = Err("h2load: not done in time\nand more".to_owned());
            samples.add(
                case(connections),
                Contender::Plain(Kind::Varnish),
                failed.clone(),
            );
            samples.add(
                case(connections),
                Contender::Plain(Kind::NginxTuned),
                failed,
            );
            samples.save(&path).unwrap();
        }
        let samples = Samples::load(&path).unwrap();
        let cases = samples.cases();
        assert_eq!(cases.len(), 2);
        for measured in cases.values() {
            let found = measured
                .iter()
                .map(|(who, tried)| (*who, tried.samples.len(), tried.failed()));
            let failed = |how: &str| Some(format!("failed{how}: h2load: not done in time"));
            assert_eq!(
                found.collect::<Vec<_>>(),
                [
                    (Contender::Media, 2, None),
                    (Contender::Plain(Kind::NginxTuned), 0, failed("")),
                    (
                        Contender::Plain(Kind::Varnish),
                        2,
                        failed(" in 1 of 3 passes")
                    ),
                ]
            );
        }
    }
}

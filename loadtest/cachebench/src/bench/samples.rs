//! What was measured so far: kept in a file, so that a long run can be done in parts, on a machine that is quiet for some
//! minutes at a time.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::load::Sample;
use super::{Case, Contender};
use crate::error::BenchError;

/// Samples of each case and contender, in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<(Case, Contender), Vec<Sample>>);

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    case: Case,
    contender: Contender,
    samples: Vec<Sample>,
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
            .map(|record| ((record.case, record.contender), record.samples));
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
            .map(|((case, contender), samples)| Record {
                case: *case,
                contender: *contender,
                samples: samples.clone(),
            })
            .collect();
        crate::report::write_json(path, &records)
    }

    /// Forgets a case, which is to be measured anew.
    pub(super) fn forget(&mut self, case: &Case) {
        self.0.retain(|(known, _), _| known != case);
    }

    pub(super) fn add(&mut self, case: Case, contender: Contender, sample: Sample) {
        self.0.entry((case, contender)).or_default().push(sample);
    }

    /// Every case, and who was measured in it.
    pub(super) fn cases(&self) -> BTreeMap<Case, Vec<(Contender, &[Sample])>> {
        let mut cases: BTreeMap<Case, Vec<(Contender, &[Sample])>> = BTreeMap::new();
        for ((case, contender), samples) in &self.0 {
            cases.entry(*case).or_default().push((*contender, samples));
        }
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Protocol, Tier};
    use crate::server::Kind;

    fn sample(cpu_us: f64) -> Sample {
        Sample {
            requests_s: 1.0,
            cpu_us,
            cpu_s_gb: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            resident_mib: 1.0,
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
                    samples.add(case(connections), contender, sample(cpu_us));
                }
            }
            samples.save(&path).unwrap();
        }
        let samples = Samples::load(&path).unwrap();
        let cases = samples.cases();
        assert_eq!(cases.len(), 2);
        for measured in cases.values() {
            assert_eq!(measured.len(), 2);
            assert!(measured.iter().all(|(_, samples)| samples.len() == 2));
        }
    }
}

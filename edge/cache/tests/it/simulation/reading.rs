//! What the simulation's clients see, and what must hold of it.

use super::*;

impl World {
    /// What is found is of a version that may be served, and a reader begins on it.
    pub(super) async fn look(&mut self, target: Target, roll: u64) {
        let text = target.text();
        let (key, request) = (Key::new(&text), target.request());
        let found = match self.harness.cache.lookup(key, &request) {
            Lookup::OnDisk => {
                self.count("on disk");
                self.harness.cache.load(key, &request).await
            }
            found => found,
        };
        let Lookup::Hit(entity) = found else {
            return self.count("miss");
        };
        let version = self.version_of(target, &entity);
        let start = roll % BODY_BYTES as u64;
        let start = if roll.is_multiple_of(3) { start } else { 0 };
        self.reading.push(Reading {
            target,
            version,
            reader: entity.reader(start..u64::MAX),
            started: start,
        });
        self.count("hit");
    }

    /// The version that an entity is of, which must be one that may be served.
    pub(super) fn version_of(&self, target: Target, entity: &Arc<Entity>) -> Version {
        let now = self.harness.cache.now_ms();
        let last = self.purges[target.key];
        let version: Version = version_header(entity).parse().unwrap();
        if let Some(bytes) = entity.reader(0..u64::MAX).try_next() {
            assert_eq!(
                bytes[0],
                target.byte(version),
                "seed {}: foreign bytes",
                self.seed
            );
        }
        assert!(
            version >= self.gone[target.key],
            "seed {}: {target:?} of version {version} was purged",
            self.seed
        );
        if entity.is_fresh(now) && !entity.is_expired() {
            assert_eq!(
                version, last,
                "seed {}: fresh, but older than a purge",
                self.seed
            );
        }
        version
    }

    pub(super) async fn read(&mut self, roll: u64, ends: u64) {
        if self.reading.is_empty() {
            return;
        }
        let index = roll as usize % self.reading.len();
        let mut reading = self.reading.swap_remove(index);
        let target = reading.target;
        let is_purged = reading.version < self.cut[target.key];
        let next = match advance(reading.reader.next()).await {
            Some(next) => next,
            // It waits for a writer, who must be there.
            None => {
                assert!(reading.reader.entity().is_filling());
                return self.reading.push(reading);
            }
        };
        match next {
            Ok(Some(bytes)) => {
                assert!(!is_purged, "seed {}: a byte after a hard purge", self.seed);
                let byte = target.byte(reading.version);
                assert!(
                    is_all(&bytes, byte),
                    "seed {}: bytes of two versions",
                    self.seed
                );
                if ends > 0 {
                    self.reading.push(reading);
                }
            }
            Ok(None) => {
                assert_eq!(
                    reading.reader.position(),
                    BODY_BYTES as u64,
                    "the end is the end"
                );
                assert!(reading.started <= BODY_BYTES as u64);
                self.count("read to the end");
            }
            Err(ReadError::Purged) => {
                assert!(is_purged, "seed {}: nobody purged it", self.seed);
                self.count("reader purged");
            }
            Err(ReadError::Hole { at }) => {
                assert!(at < BODY_BYTES as u64);
                self.count("hole");
            }
            Err(ReadError::NoRoom) => self.count("no room"),
            Err(ReadError::Stalled { .. }) => panic!("nobody waits here"),
        }
    }

    pub(super) async fn check(&mut self) {
        let cache = &self.harness.cache;
        assert!(
            cache.used_bytes() <= config().memory_bytes,
            "seed {}",
            self.seed
        );
        assert!(cache.bytes() <= config().memory_bytes);
        for key in 0..KEYS {
            for french in [false, true] {
                let target = Target { key, french };
                let Some(entity) = self.harness.hit_for(&target.text(), &target.request()) else {
                    continue;
                };
                assert!(!entity.is_withdrawn() && !entity.is_purged());
                let version = self.version_of(target, &entity);
                // Whole bodies of one key at each step, so that there is time for more steps.
                let Some(body) = entity.body_bytes().filter(|_| self.steps % KEYS == key) else {
                    continue;
                };
                let bytes: usize = body.iter().map(Bytes::len).sum();
                assert_eq!(
                    bytes, BODY_BYTES,
                    "seed {}: what is complete is whole",
                    self.seed
                );
                let byte = target.byte(version);
                assert!(body.iter().all(|chunk| is_all(chunk, byte)));
            }
        }
    }
}

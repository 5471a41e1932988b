//! Requests that the run's end cuts off.

use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_loadtest_measure::{CacheSource, Outcome, RequestClass, RequestSample};

use crate::world::World;

/// A request that is under way. Users leave by being dropped where they are; without this, a request that hung until then would have
/// never been, and a system that stopped to answer near a run's end would seem well.
pub(crate) struct UnderWay<'w> {
    world: &'w World,
    class: Option<RequestClass>,
    intended_us: u64,
    started_us: u64,
    /// When the first of its body came; 0: none of it.
    came_us: AtomicU64,
}

impl<'w> UnderWay<'w> {
    pub(crate) fn new(world: &'w World, class: &RequestClass, intended_us: u64) -> Self {
        Self {
            world,
            class: Some(class.clone()),
            intended_us,
            started_us: world.clock().now_us(),
            came_us: AtomicU64::new(0),
        }
    }

    /// Some of its body came.
    pub(crate) fn came(&self) {
        if self.came_us.load(Ordering::Relaxed) == 0 {
            let now_us = self.world.clock().now_us();
            self.came_us.store(now_us, Ordering::Relaxed);
        }
    }

    /// It ended, and is recorded by whoever knows how.
    pub(crate) fn ended(mut self) {
        self.class = None;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Some(class) = self.class.take() else {
            return;
        };
        let came_us = self.came_us.load(Ordering::Relaxed);
        let sample = RequestSample {
            class,
            intended_us: self.intended_us,
            started_us: self.started_us,
            connect_us: None,
            tls_us: None,
            first_byte_us: (came_us > 0).then_some(came_us),
            last_byte_us: self.world.clock().now_us(),
            bytes: 0,
            status: 0,
            source: CacheSource::Unknown,
            outcome: Outcome::CutOff,
        };
        self.world
            .with_recorder(|recorder| recorder.request(&sample));
    }
}

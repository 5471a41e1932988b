//! When a connection has been without use, or without progress, for too long.
//!
//! Looked at a few times in each period, by a timer: what happens in between costs nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::limits::Limits;

/// How often it is looked at, beside a quarter of the shortest of the times.
const TICK_MIN: Duration = Duration::from_millis(50);
const TICK_MAX: Duration = Duration::from_secs(5);

/// How long a client may take to follow our settings. Nothing is lost meanwhile: none of them takes anything away.
const SETTLING: Duration = Duration::from_secs(60);

/// What a connection is doing at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doing {
    /// Requests so far.
    pub(crate) requests: u64,
    /// Bytes that the client's side has taken so far.
    pub(crate) taken: u64,
    /// Handlers are at work, which have deadlines of their own.
    pub(crate) is_at_work: bool,
    /// The client follows our settings.
    pub(crate) is_settled: bool,
    /// Streams are open, or what is left of them waits: without handlers, it is the client that has something to take or to end.
    pub(crate) has_streams: bool,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    Idle,
    TooSlow,
    /// RFC 9113 section 6.5.3.
    Unsettled,
}

#[derive(Debug)]
pub(crate) struct Watch {
    timer: Pin<Box<Sleep>>,
    tick: Duration,
    idle_timeout: Duration,
    window: Duration,
    drain_bytes_s_min: u64,
    /// When the connection began.
    begun: Instant,
    /// When the present state began, and what had been done then.
    since: Instant,
    requests: u64,
    taken: u64,
    was_lingering: bool,
}

impl Watch {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shortest = limits.idle_timeout.min(limits.write_timeout);
        let tick = (shortest / 4).clamp(TICK_MIN, TICK_MAX);
        Self {
            timer: Box::pin(tokio::time::sleep(tick)),
            tick,
            idle_timeout: limits.idle_timeout,
            window: limits.write_timeout,
            drain_bytes_s_min: u64::from(limits.drain_bytes_s_min),
            begun: Instant::now(),
            since: Instant::now(),
            requests: 0,
            taken: 0,
            was_lingering: false,
        }
    }

    /// From now on, a connection without a request is idle after `idle_timeout`.
    pub(crate) fn hurry(&mut self, idle_timeout: Duration) {
        self.idle_timeout = self.idle_timeout.min(idle_timeout);
        self.tick = self.tick.min(idle_timeout / 4);
        self.since = Instant::now();
        self.timer.as_mut().reset(self.since + self.tick);
    }

    /// Ready when the connection should end.
    pub(crate) fn poll_overdue(
        &mut self,
        context: &mut Context<'_>,
        doing: impl Fn() -> Doing,
    ) -> Poll<Overdue> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            if let Some(overdue) = self.judge(doing(), now) {
                return Poll::Ready(overdue);
            }
            self.timer.as_mut().reset(now + self.tick);
        }
    }

    fn judge(&mut self, doing: Doing, now: Instant) -> Option<Overdue> {
        if !doing.is_settled && now - self.begun >= SETTLING {
            return Some(Overdue::Unsettled);
        }
        let is_lingering = doing.has_streams && !doing.is_at_work;
        let is_new = doing.is_at_work
            || is_lingering != self.was_lingering
            || (!is_lingering && doing.requests != self.requests);
        if is_new {
            self.begin(doing, is_lingering, now);
            return None;
        }
        let passed = now - self.since;
        if !is_lingering {
            return (passed >= self.idle_timeout).then_some(Overdue::Idle);
        }
        if passed < self.window {
            return None;
        }
        let least = (self.drain_bytes_s_min * passed.as_secs()).max(1);
        if doing.taken - self.taken < least {
            return Some(Overdue::TooSlow);
        }
        self.begin(doing, is_lingering, now);
        None
    }

    fn begin(&mut self, doing: Doing, is_lingering: bool, now: Instant) {
        self.since = now;
        self.requests = doing.requests;
        self.taken = doing.taken;
        self.was_lingering = is_lingering;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            streams_max: 1,
            idle_timeout: Duration::from_secs(60),
            preface_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(10),
            fields_bytes_max: 1,
            pending_resets_max: 1,
            error_resets_max: 1,
            drain_bytes_s_min: 100,
        }
    }

    const IDLE: Doing = Doing {
        requests: 1,
        taken: 10,
        is_at_work: false,
        is_settled: true,
        has_streams: false,
    };

    #[tokio::test(start_paused = true)]
    async fn idle_counts_from_the_last_request() {
        let mut watch = Watch::new(&limits());
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(watch.judge(IDLE, at(2)), None);
        assert_eq!(watch.judge(IDLE, at(61)), None);
        let again = Doing {
            requests: 2,
            ..IDLE
        };
        assert_eq!(watch.judge(again, at(61)), None);
        assert_eq!(watch.judge(again, at(120)), None);
        assert_eq!(watch.judge(again, at(121)), Some(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn settings_are_not_waited_for_for_ever() {
        let mut watch = Watch::new(&limits());
        let start = Instant::now();
        let doing = Doing {
            is_at_work: true,
            is_settled: false,
            ..IDLE
        };
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(watch.judge(doing, at(59)), None);
        assert_eq!(watch.judge(doing, at(61)), Some(Overdue::Unsettled));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_never_overdue_and_what_waits_for_the_client_is() {
        let mut watch = Watch::new(&limits());
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let working = Doing {
            is_at_work: true,
            has_streams: true,
            ..IDLE
        };
        assert_eq!(watch.judge(working, at(1000)), None);
        let lingering = |taken| Doing {
            has_streams: true,
            taken,
            ..IDLE
        };
        assert_eq!(watch.judge(lingering(10), at(1000)), None);
        assert_eq!(watch.judge(lingering(10), at(1009)), None);
        assert_eq!(watch.judge(lingering(1010), at(1010)), None);
        // More requests do not make up for what is not taken.
        let more = Doing {
            requests: 9,
            ..lingering(1509)
        };
        assert_eq!(watch.judge(more, at(1020)), Some(Overdue::TooSlow));
    }
}

//! What passed a proxy.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::faults::Direction;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has passed a proxy since it was opened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
        pub struct ProxyCounts { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Count,)* }

        impl Counters {
            pub(crate) fn read(&self) -> ProxyCounts {
                ProxyCounts { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// TCP connections that were accepted and carried.
    connections,
    /// Of these, those that are open.
    open,
    /// TCP connections that were reset because there were too many.
    refused,
    /// TCP connections whose node could not be reached.
    unreachable,
    /// TCP connections that a fault has reset.
    reset,
    /// Bytes handed on to the node, TCP and UDP.
    to_node_bytes,
    /// Bytes handed on to clients, TCP and UDP.
    to_client_bytes,
    /// TCP chunks that came later as if they had been lost.
    chunks_resent,
    /// Bytes that were dropped after a half-close.
    dropped_bytes,
    /// UDP datagrams handed on, both ways.
    datagrams,
    /// UDP datagrams that a fault has dropped.
    datagrams_lost,
    /// UDP datagrams that were dropped because a queue or the table of flows was full.
    datagrams_overflown,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// One more for as long as the guard lives.
    pub(crate) fn guard(&self) -> impl Drop + '_ {
        self.add(1);
        Minus(&self.0)
    }
}

impl Counters {
    pub(crate) fn passed(&self, direction: Direction, bytes: usize) {
        match direction {
            Direction::ToNode => self.to_node_bytes.add(bytes),
            Direction::ToClient => self.to_client_bytes.add(bytes),
        }
    }
}

struct Minus<'a>(&'a AtomicU64);

impl Drop for Minus<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

//! What the kernel has counted of one connection.

use pingora_core::protocols::UniqueIDType;
use pingora_core::protocols::l4::ext::get_tcp_info;

use crate::Traffic;

/// A connection that carried so many bytes since the kernel was last asked is asked about, so that long ones show while they
/// last: a quarter of what it has carried before, and no less and no more than this. It costs nothing beside the bytes.
const LOOK_LEAST_BYTES: u64 = 64 << 10;
const LOOK_MOST_BYTES: u64 = 1 << 20;

/// What of a connection is counted already. The descriptor must be open as long as this lives.
#[derive(Debug)]
pub(crate) struct Meter {
    descriptor: UniqueIDType,
    traffic: Traffic,
    /// Told so far.
    received: u64,
    sent: u64,
    /// Read and written since the kernel was last asked.
    passed: u64,
}

impl Meter {
    pub(crate) fn new(descriptor: UniqueIDType, traffic: Traffic) -> Self {
        Self {
            descriptor,
            traffic,
            received: 0,
            sent: 0,
            passed: 0,
        }
    }

    /// So many bytes were read or written.
    pub(crate) fn passed(&mut self, bytes: u64) {
        self.passed += bytes;
        let before = self.received.saturating_add(self.sent);
        if self.passed >= (before / 4).clamp(LOOK_LEAST_BYTES, LOOK_MOST_BYTES) {
            self.look();
        }
    }

    /// Tells what is new. What waits to be sent counts as sent: the kernel sends it even when the connection is closed meanwhile.
    fn look(&mut self) {
        self.passed = 0;
        // A socket of another kind has no such counts.
        let Ok(info) = get_tcp_info(self.descriptor) else {
            return;
        };
        let received = info.tcpi_bytes_received.max(self.received);
        let waiting = u64::from(info.tcpi_notsent_bytes);
        let sent = info.tcpi_bytes_sent.saturating_add(waiting).max(self.sent);
        self.traffic.received(received - self.received);
        self.traffic.sent(sent - self.sent);
        (self.received, self.sent) = (received, sent);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.look();
    }
}

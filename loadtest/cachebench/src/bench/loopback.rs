//! What goes over this machine's loopback interface, where servers and load generator meet.

use std::path::Path;

use crate::error::BenchError;

/// The kernel's counters of interfaces.
const COUNTERS_FILE: &str = "/proc/net/dev";

/// All bytes that the loopback interface has delivered so far, with their headers.
///
/// # Errors
/// When the kernel does not say.
pub(super) fn delivered_bytes() -> Result<u64, BenchError> {
    let file = Path::new(COUNTERS_FILE);
    let text = std::fs::read_to_string(file).map_err(|source| BenchError::file(file, source))?;
    of_loopback(&text)
        .ok_or_else(|| BenchError::tool(COUNTERS_FILE, "no loopback interface".to_owned()))
}

/// The first counter of `lo`: bytes received.
fn of_loopback(text: &str) -> Option<u64> {
    let counters = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    counters.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "Inter-|   Receive                     |  Transmit\n \
            face |bytes    packets errs drop fifo frame|bytes    packets\n    \
            lo: 2594126 169058    0    0    0     0 2594126 169058\n  \
            eth0: 632603 18204    0    0    0     0 1099277 11391\n";
        assert_eq!(of_loopback(text), Some(2_594_126));
        assert_eq!(of_loopback("lo:17 1 0"), Some(17));
        assert_eq!(of_loopback("  eth0: 1 2 3"), None);
    }

    #[test]
    fn counts_what_is_sent() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let to = listener.local_addr().expect("an address");
        let before = delivered_bytes().expect("counters");
        let sender = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(to).expect("a connection");
            stream.write_all(&[7; 1 << 20]).expect("sent");
        });
        let (mut stream, _) = listener.accept().expect("a client");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        sender.join().expect("it ends");
        assert!(delivered_bytes().expect("counters") >= before + (1 << 20));
    }
}

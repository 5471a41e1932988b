//! Connections that are turned away, for a moment before they are closed.
//!
//! Who is turned away at once comes back at once: of an attacker's few dozen connections that took ten thousand a second, which
//! cost the machine more than what they were refused for. Held for a second each, they are a few dozen a second. Nothing is
//! read of them, nothing is said, and there are never more than some.

use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::Turns;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long.
pub(crate) const HOLD: Duration = Duration::from_secs(1);
/// How many at once; more are closed at once.
pub(crate) const ROOM: usize = 1024;

/// What it costs to close one, about.
const CLOSE_COST: Duration = Duration::from_micros(10);

/// Where they wait.
#[derive(Debug, Clone)]
pub(crate) struct Lobby {
    held: mpsc::Sender<(Instant, StdStream)>,
    hold: Duration,
}

impl Lobby {
    /// A lobby for `room` connections and the one that leaves next, held for `hold` each; they are closed as `turns` give time for it.
    pub(crate) fn open(room: usize, hold: Duration, turns: Arc<Turns>) -> Self {
        let (held, mut waiting) = mpsc::channel::<(Instant, StdStream)>(room.max(1));
        tokio::spawn(async move {
            // In the order in which they came: all wait for as long.
            while let Some((until, stream)) = waiting.recv().await {
                sleep_until(until).await;
                turns.newcomer().await;
                drop(stream);
                turns.spent(CLOSE_COST);
            }
        });
        Self { held, hold }
    }

    /// Holds it, if there is room, and closes it.
    pub(crate) fn hold(&self, stream: TcpStream) {
        // With a reset: nothing of it stays in the kernel. One that cannot be set so is about to fail.
        let _ = stream.set_zero_linger();
        // What it sends wakes nobody.
        if let Ok(stream) = stream.into_std() {
            // Without room it ends here.
            let _ = self.held.try_send((Instant::now() + self.hold, stream));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_waits_and_is_closed_and_never_too_many() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut clients, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
            ours.push(listener.accept().await.unwrap().0);
        }
        let lobby = Lobby::open(1, HOLD, Arc::new(Turns::new(1)));
        let began = Instant::now();
        for stream in ours {
            lobby.hold(stream);
            // It takes the first to itself, and the second waits.
            tokio::task::yield_now().await;
        }
        // The clock goes on by itself while all tasks wait, for a socket too: what is over at once is looked at without waiting
        // so.
        let mut last = clients.pop().unwrap().into_std().unwrap();
        last.set_nonblocking(false).unwrap();
        last.set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let read = std::io::Read::read(&mut last, &mut [0]);
        let still_open = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(
            matches!(&read, Ok(0)) || read.as_ref().is_err_and(|error| !still_open(error)),
            "there was no room for the last: {read:?}"
        );
        assert!(began.elapsed() < HOLD);
        for mut client in clients.into_iter().rev() {
            let read = client.read(&mut [0]).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
            let waited = began.elapsed();
            assert!(waited >= HOLD && waited < 2 * HOLD, "{waited:?}");
        }
    }
}

//! How a connection is left: what there is to say still goes out, and a socket is not closed while its client takes it. What
//! comes for one that is closed is answered by a reset, which takes back what is on its way; and a client of HTTP/2 that reads
//! does say something, how much it has read.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;

use crate::state::State;
use crate::wire::Wire;

/// How long a client may take to read why its connection ends, where nothing else is on its way.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a client may say nothing while it takes its last answers, and how long it may take them in all.
const SILENCE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_secs(30);

/// What it may say meanwhile.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Ends a connection. `is_proper`: all that was asked for has been answered, and may be on its way.
pub(crate) async fn part(state: &Mutex<State>, wire: &mut Wire, is_proper: bool) {
    let (silence, in_all) = if is_proper {
        (SILENCE, LINGER)
    } else {
        (FAREWELL, FAREWELL)
    };
    let work = async {
        let sent = poll_fn(|context| poll_last(state, wire, context));
        if timeout(silence, sent).await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            let passed = poll_fn(|context| wire.poll_pass_over(context));
            match timeout(silence, passed).await {
                Ok(Some(bytes)) => left = left.saturating_sub(bytes),
                // The client has ended its side too, or says nothing.
                Ok(None) | Err(_) => return,
            }
        }
    };
    // Whether it arrives or not, the connection ends.
    let _ = timeout(in_all, work).await;
}

/// Sends the last that there is to say, and that it was the last.
fn poll_last(state: &Mutex<State>, wire: &mut Wire, context: &mut Context<'_>) -> Poll<()> {
    if wire.poll_send(state, context).is_err() {
        return Poll::Ready(());
    }
    if wire.has_output() {
        return Poll::Pending;
    }
    wire.poll_shutdown(context)
}

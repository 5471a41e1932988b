//! A platform on a thread and a processor of its own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use mcsp_loadtest_bench::{Options, Platform};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::sync::oneshot;

use super::BenchError;

/// The processor that platforms have for themselves; what is measured has the other.
pub(crate) const SERVER_CORE: usize = 0;
/// The processor of what is measured.
pub(crate) const CLIENT_CORE: usize = 1;

/// A platform that answers until it is ended.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: JoinHandle<Served>,
}

/// What a platform knows at its end.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// The delays that it injected, µs.
    pub(crate) delays_us: Vec<u32>,
}

impl Server {
    pub(crate) fn start(options: Options) -> Result<Self, BenchError> {
        let (tell, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("platform".to_owned())
            .spawn(move || serve(options, &tell, ended))
            .map_err(|error| BenchError::broken("a thread", error))?;
        let address = told
            .recv()
            .map_err(|_| BenchError::Broken("the platform did not start".to_owned()))?
            .map_err(|error| BenchError::broken("the platform", error))?;
        Ok(Self {
            address,
            end,
            thread,
        })
    }

    pub(crate) fn end(self) -> Served {
        // It may have ended by itself.
        let _ = self.end.send(());
        self.thread.join().unwrap_or_default()
    }
}

fn serve(
    options: Options,
    tell: &mpsc::Sender<std::io::Result<SocketAddr>>,
    ended: oneshot::Receiver<()>,
) -> Served {
    let mut cores = CpuSet::new();
    cores.set(SERVER_CORE);
    // On a machine with one processor all share it.
    let _ = sched_setaffinity(None, &cores);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Err(error));
            return Served::default();
        }
    };
    runtime.block_on(async {
        match Platform::start(options).await {
            Err(error) => {
                let _ = tell.send(Err(error));
                Served::default()
            }
            Ok(platform) => {
                let _ = tell.send(Ok(platform.address()));
                let _ = ended.await;
                Served {
                    delays_us: platform.delays_us(),
                }
            }
        }
    })
}

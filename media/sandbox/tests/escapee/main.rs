//! A child whose jobs try what the sandbox must forbid. Built for the tests only.

use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use mcsp_media_sandbox::{Job, JobEntry, JobError, Reporter, child_main};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Attempt {
    what: String,
    path: PathBuf,
}

/// Tries one thing; the output says how it went.
struct Try;

impl Job for Try {
    const NAME: &'static str = "try";
    type Input = Attempt;
    type Output = Result<String, String>;

    fn run(input: Attempt, reporter: &mut Reporter<'_>) -> Result<Self::Output, JobError> {
        let path = &input.path;
        let done = |result: std::io::Result<()>| {
            result
                .map(|()| "done".to_string())
                .map_err(|e| e.to_string())
        };
        Ok(match input.what.as_str() {
            "read" => done(
                File::open(path).and_then(|mut file| file.read_to_end(&mut Vec::new()).map(|_| ())),
            ),
            "write" => done(fs::write(path, b"x")),
            "large-write" => done(fs::write(path, vec![0; 4 << 20])),
            "remove" => done(fs::remove_file(path)),
            "list" => done(fs::read_dir(path).map(|_| ())),
            "tcp" => done(TcpListener::bind("127.0.0.1:0").map(|_| ())),
            "udp" => done(UdpSocket::bind("127.0.0.1:0").map(|_| ())),
            "unix" => done(std::os::unix::net::UnixDatagram::unbound().map(|_| ())),
            "exec" => done(Command::new("/bin/true").status().map(|_| ())),
            "thread" => done(std::thread::Builder::new().spawn(|| {}).map(|thread| {
                let _ = thread.join();
            })),
            "environment" => Ok(std::env::vars()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
                .join(",")),
            "memory" => {
                let mut blocks: Vec<Vec<u8>> = Vec::new();
                let mut refused = false;
                while blocks.len() < 1024 && !refused {
                    let mut block = Vec::new();
                    refused = block.try_reserve_exact(8 << 20).is_err();
                    blocks.push(block);
                }
                if refused {
                    Err("out of memory".into())
                } else {
                    Ok(format!("{} blocks", blocks.len()))
                }
            }
            "spin" => {
                let mut n: u64 = 0;
                loop {
                    n = std::hint::black_box(n.wrapping_add(1));
                }
            }
            "silence" => {
                std::thread::sleep(Duration::from_secs(600));
                Ok(String::new())
            }
            "abort" => std::process::abort(),
            "refuse" => return Err(JobError::refused("not-media", "no media in it")),
            "progress" => {
                for permille in 0..=1000 {
                    reporter.tick(permille)?;
                    if permille == 500 {
                        reporter.made("half")?;
                    }
                }
                Ok("done".into())
            }
            other => return Err(JobError::failed(format!("no attempt {other:?}"))),
        })
    }
}

fn main() -> ExitCode {
    child_main(&[JobEntry::of::<Try>()])
}

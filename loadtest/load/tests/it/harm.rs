//! Chaos steps upon a process, a disk and a clock, by the program itself.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mcsp_loadtest_bench::Plant;
use mcsp_loadtest_chaos::{ClockFile, faketime_library};

use crate::harness::{SHORT, Stage, finish, kinds, program, recorded};

/// What a node tells of itself, ten times a second: its process id and its clock.
const NODE: &str = "while :; do echo $$ $(date +%s); sleep 0.1; done";

struct Node {
    child: Child,
    pid_file: PathBuf,
    told: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        // The one that runs now may be another.
        let pid = std::fs::read_to_string(&self.pid_file).unwrap_or_default();
        let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    fn start(stage: &Stage) -> Self {
        let clock = stage.path("clock");
        ClockFile::create(clock.clone()).unwrap();
        let library =
            faketime_library().expect("Debian's libfaketime: apt-get install libfaketime");
        let told = stage.path("node.pid.log");
        let child = Command::new("sh")
            .args(["-c", NODE])
            .envs(ClockFile::environment(&library, &clock))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&told).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let pid_file = stage.write("node.pid", &child.id().to_string());
        Self {
            child,
            pid_file,
            told,
        }
    }

    /// Process ids and clocks, in order.
    fn told(&self) -> Vec<(u32, i64)> {
        let text = std::fs::read_to_string(&self.told).unwrap();
        let line = |line: &str| {
            let (pid, clock) = line.split_once(' ')?;
            Some((pid.parse().ok()?, clock.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }
}

fn free_bytes(folder: &Path) -> u64 {
    let disk = rustix::fs::statvfs(folder).unwrap();
    disk.f_bavail * disk.f_frsize
}

#[tokio::test]
async fn a_process_is_frozen_and_killed_its_disk_filled_and_its_clock_set_wrong_and_all_is_undone()
{
    let stage = Stage::with(Plant::Nothing).await;
    let node = Node::start(&stage);
    let disk = stage.path("");
    // A little is taken, and not all that there is: others work on this disk.
    let free = free_bytes(&disk);
    let left = free - (64 << 20);
    let text = format!(
        "{SHORT}\n[[nodes]]\nname = \"node\"\npid_file = \"{}\"\nstart = [\"sh\", \"-c\", '{NODE}']\ndisk = \"{}\"\n\
         [[chaos]]\nat_s = 1\nfor_s = 2\naction = \"clock-skew\"\ntarget = \"node\"\nskew_s = 7200\nmust_hold = [\"errors\"]\n\
         [[chaos]]\nat_s = 2\nfor_s = 4\naction = \"fill-disk\"\ntarget = \"node\"\nfree_bytes = {left}\n\
         [[chaos]]\nat_s = 4\nfor_s = 1\naction = \"freeze\"\ntarget = \"node\"\n\
         [[chaos]]\nat_s = 6\nfor_s = 2\naction = \"kill\"\ntarget = \"node\"\n\
         [targets]\napi = \"{}\"\n",
        node.pid_file.display(),
        disk.display(),
        stage.target(),
    );
    let scenario = stage.write("harm.toml", &text);
    let out = stage.path("out");
    let mut command = program();
    command.arg("run").arg(scenario).arg("--out").arg(&out);
    let said = finish(command).await;
    assert_eq!(said.status, 0, "{}{}", said.out, said.err);
    let recorded = recorded(&out);
    assert!(kinds(&recorded).is_empty());
    let chaos = &recorded.results.chaos;
    assert_eq!(chaos.len(), 4);
    for step in chaos {
        assert_eq!(step.error, None, "{step:?}");
        assert!(step.must_hold.iter().all(|held| held.met), "{step:?}");
    }
    let told = node.told();
    let first = told[0];
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    let skewed = told
        .iter()
        .filter(|(_, clock)| *clock > now + 3_600)
        .count();
    let right = told.len() - skewed;
    assert!(skewed >= 5 && right >= 5, "{skewed} of {}", told.len());
    // Killed, and started again as another process, whose clock is right.
    let last = told.last().unwrap();
    assert_ne!(last.0, first.0);
    assert!((last.1 - now).abs() < 60);
    // It was watched meanwhile, and seen to be away.
    let samples = &recorded.results.nodes[0].samples;
    assert!(samples.iter().any(|sample| !sample.is_up), "{samples:?}");
    assert!(samples.last().unwrap().is_up, "{samples:?}");
}

//! Processes, disks and clocks.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use mcsp_loadtest_chaos::{
    Ballast, ChaosError, ClockFile, Down, Frozen, Launch, Process, faketime_library,
};

/// A child that is killed with the test.
pub(crate) struct Victim(pub(crate) Child);

impl Victim {
    pub(crate) fn sleeping(pid_file: &Path) -> Self {
        let child = Command::new("sleep").arg("300").spawn().unwrap();
        std::fs::write(pid_file, child.id().to_string()).unwrap();
        Self(child)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not in a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn only_a_process_that_the_file_means_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.pid");
    let refused = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let refused = Process::from_pid_file(&file);
        assert!(
            matches!(refused, Err(ChaosError::Protected { .. })),
            "{text:?}: {refused:?}"
        );
    };
    refused("");
    refused("node");
    refused("0");
    refused("1");
    refused("-1");
    refused(&std::process::id().to_string());
    refused(&std::os::unix::process::parent_id().to_string());
    let victim = Victim::sleeping(&file);
    assert_eq!(
        Process::from_pid_file(&file).unwrap().id(),
        i32::try_from(victim.0.id()).unwrap()
    );
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let stale = Process::from_pid_file(&file);
    assert!(
        matches!(stale, Err(ChaosError::Protected { .. })),
        "{stale:?}"
    );
}

#[test]
fn a_frozen_process_thaws_when_asked_and_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.pid");
    let _victim = Victim::sleeping(&file);
    let process = Process::from_pid_file(&file).unwrap();
    for is_asked in [true, false] {
        let mut frozen = Frozen::freeze(&process).unwrap();
        until("it stands still", || process.is_frozen());
        if is_asked {
            frozen.undo().unwrap();
            frozen.undo().unwrap();
        }
        drop(frozen);
        until("it goes on", || !process.is_frozen());
    }
}

/// What [`a_frozen_process_thaws_when_the_tool_is_killed`] kills.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn freezes_and_waits_to_be_killed() {
    let Some(file) = std::env::var_os("MCSP_CHAOS_PID_FILE") else {
        return;
    };
    let _frozen = Frozen::freeze(&Process::from_pid_file(Path::new(&file)).unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_frozen_process_thaws_when_the_tool_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.pid");
    let _victim = Victim::sleeping(&file);
    let process = Process::from_pid_file(&file).unwrap();
    let tool = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "harm::freezes_and_waits_to_be_killed",
            "--ignored",
        ])
        .env("MCSP_CHAOS_PID_FILE", &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut tool = Victim(tool);
    until("it stands still", || process.is_frozen());
    tool.0.kill().unwrap();
    until("it goes on", || !process.is_frozen());
}

#[test]
fn a_killed_process_is_started_again_with_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.pid");
    let child = Command::new("sleep")
        .arg("300")
        .env("MCSP_MARK", "kept")
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    std::fs::write(&file, child.id().to_string()).unwrap();
    let mut victim = Victim(child);
    // The kernel lets `spawn` return a moment before the new program's environment is in its place.
    let environment = format!("/proc/{}/environ", victim.0.id());
    until("it has its environment", || {
        std::fs::read(&environment).is_ok_and(|bytes| !bytes.is_empty())
    });
    let process = Process::from_pid_file(&file).unwrap();
    let start = ["sh", "-c", "echo $MCSP_MARK in $PWD; exec sleep 300"].map(str::to_owned);
    let launch = Launch::like(&process, &start, file.clone()).unwrap();
    let mut down = Down::kill(&process, launch, 1).unwrap();
    victim.0.wait().unwrap();
    down.undo().unwrap();
    down.undo().unwrap();
    let again = Process::from_pid_file(&file).unwrap();
    assert_ne!(again.id(), process.id());
    let log = folder.path().join("node.pid.log");
    until("it prints", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n'))
    });
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        format!("kept in {}\n", here.display())
    );
    let _ = Down::kill(&again, None, 1).unwrap();
    until("the second one ends", || !again.is_running());
}

#[tokio::test]
async fn a_process_that_does_not_stop_is_not_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.pid");
    let mut child = Command::new("sh")
        .args([
            "-c",
            "trap '' TERM; echo ready; while :; do sleep 0.1; done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    std::fs::write(&file, child.id().to_string()).unwrap();
    let _victim = Victim(child);
    let process = Process::from_pid_file(&file).unwrap();
    let launch = Launch::like(
        &process,
        &["sleep".to_owned(), "300".to_owned()],
        file.clone(),
    )
    .unwrap();
    let mut down = Down::stop(&process, launch, 1).unwrap();
    assert!(!process.ended(Duration::from_millis(300)).await);
    assert!(matches!(down.undo(), Err(ChaosError::StillThere { .. })));
    assert_eq!(Process::from_pid_file(&file).unwrap().id(), process.id());
}

#[test]
fn a_ballast_takes_space_without_a_name_and_gives_it_back() {
    const BALLAST: u64 = 2 << 30;
    let folder = tempfile::tempdir().unwrap();
    let free = |at: &Path| {
        let disk = rustix::fs::statvfs(at).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    // Others write to the same disk meanwhile, and remove what they wrote, so nothing is exact.
    let before = free(folder.path());
    let left = before.saturating_sub(BALLAST);
    Ballast::check(folder.path(), left).unwrap();
    let mut ballast = Ballast::fill(folder.path(), left).unwrap();
    assert!(ballast.bytes() > BALLAST / 2, "{}", ballast.bytes());
    assert!(free(folder.path()) < before - BALLAST / 2);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing to be found after a crash"
    );
    ballast.undo();
    ballast.undo();
    assert_eq!(ballast.top_up().unwrap(), 0);
    until("the space is back", || {
        free(folder.path()) > before - BALLAST / 2
    });
    assert!(Ballast::check(&folder.path().join("nothing"), left).is_err());
}

#[test]
fn a_clock_is_off_while_it_is_asked_for() {
    let library = faketime_library().expect("Debian's libfaketime: apt-get install libfaketime");
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    ClockFile::create(clock.clone()).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "while :; do date +%s; sleep 0.05; done"])
        .envs(ClockFile::environment(&library, &clock))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let victim = Victim(child);
    let mut offset_s = || {
        let shown: i64 = lines.next().unwrap().unwrap().parse().unwrap();
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        shown - i64::try_from(now).unwrap()
    };
    assert!(offset_s().abs() < 30);
    let process = Process::named(victim.0.id()).unwrap();
    let file = ClockFile::of(&process).unwrap();
    for by_s in [7_200, -7_200] {
        let mut skewed = file.skew(by_s).unwrap();
        until("the clock is off", || (offset_s() - by_s).abs() < 30);
        skewed.undo().unwrap();
        skewed.undo().unwrap();
        until("the clock is right", || offset_s().abs() < 30);
    }
    drop(file.skew(7_200).unwrap());
    until("the clock is right", || offset_s().abs() < 30);
}

#[test]
fn a_process_without_a_clock_of_its_own_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.pid");
    let _victim = Victim::sleeping(&file);
    let error = ClockFile::of(&Process::from_pid_file(&file).unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("LD_PRELOAD=") && error.contains("libfaketime"),
        "{error}"
    );
}

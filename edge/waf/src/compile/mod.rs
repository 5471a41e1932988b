//! Syntax trees to a rule set.

mod build;
mod closing;
mod notices;
mod numbers;
mod operator;
mod select;
mod updates;

pub(crate) use select::mask;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{LoadError, LoadErrorKind, Location};
use crate::lang::actions::Action;
use crate::lang::ast::{Directive, EngineMode, Placed, RuleAst, RuleSelector};
use crate::lang::parse_file;
use crate::lang::variables::Target;
use crate::ruleset::{RuleSet, Settings};

/// Most rules in a set.
const RULES_MAX: usize = 20_000;

/// Loads rule files and compiles them together, in the order given.
#[derive(Debug, Default)]
pub struct Loader {
    items: Vec<Item>,
    updates: Vec<Update>,
    defaults: HashMap<u8, Vec<Placed<Action>>>,
    settings: Settings,
    paranoia_max: Option<u8>,
    last: Option<Location>,
}

/// What comes in order.
#[derive(Debug)]
pub(crate) enum Item {
    /// A rule with those chained to it, and the folder that its data files are in.
    Chain(Vec<RuleAst>, Arc<Path>),
    Marker(String),
}

/// A change of rules that were read.
#[derive(Debug)]
pub(crate) enum Update {
    Targets(RuleSelector, Vec<Placed<Target>>),
    Actions(RuleSelector, Vec<Placed<Action>>),
    Remove(RuleSelector),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineMode::On,
            request_body: true,
            response_body: true,
            request_body_bytes_max: None,
            response_body_bytes_max: None,
            json_depth_max: None,
            arguments_max: None,
            response_types: None,
        }
    }
}

impl Loader {
    /// A loader with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out rules that are tagged `paranoia-level/N` with N above `level`: when the level is fixed by configuration they
    /// would only be skipped, request after request.
    #[must_use]
    pub fn paranoia_max(mut self, level: u8) -> Self {
        self.paranoia_max = Some(level);
        self
    }

    /// Reads a file. Its data files are looked for beside it.
    ///
    /// # Errors
    /// The first mistake.
    pub fn file(&mut self, path: &Path) -> Result<(), LoadError> {
        let name = path.display().to_string();
        let text = std::fs::read(path).map_err(|error| unreadable(&name, &error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        self.text(&name, &text, folder)
    }

    /// Reads every `*.conf` file of a folder, sorted by name.
    ///
    /// # Errors
    /// The first mistake, or a folder without such files.
    pub fn folder(&mut self, folder: &Path) -> Result<(), LoadError> {
        let name = folder.display().to_string();
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(&name, &error))?;
        let mut files = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<PathBuf>>>()
            .map_err(|error| unreadable(&name, &error))?;
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        });
        files.sort();
        if files.is_empty() {
            return Err(unreadable(&name, &"no *.conf file in it"));
        }
        files.iter().try_for_each(|path| self.file(path))
    }

    /// Reads text; `name` is for errors, `folder` has its data files.
    ///
    /// # Errors
    /// The first mistake.
    pub fn text(&mut self, name: &str, text: &[u8], folder: &Path) -> Result<(), LoadError> {
        let folder: Arc<Path> = Arc::from(folder);
        let mut chain: Vec<RuleAst> = Vec::new();
        for directive in parse_file(name, text)? {
            if let Directive::Rule(rule) = directive {
                self.last = Some(rule.location.clone());
                let more = rule
                    .actions
                    .iter()
                    .any(|action| action.item == Action::Chain);
                chain.push(rule);
                if !more {
                    self.items
                        .push(Item::Chain(std::mem::take(&mut chain), folder.clone()));
                }
                if self.items.len() > RULES_MAX {
                    return Err(self.anywhere(LoadErrorKind::TooMany("rules", RULES_MAX)));
                }
                continue;
            }
            dangling(&chain)?;
            self.directive(directive);
        }
        dangling(&chain)
    }

    fn directive(&mut self, directive: Directive) {
        match directive {
            Directive::Rule(_) => {}
            Directive::Marker(name) => self.items.push(Item::Marker(name)),
            Directive::DefaultAction(actions) => {
                let phase = actions.iter().find_map(|action| match action.item {
                    Action::Phase(phase) => Some(phase),
                    _ => None,
                });
                self.defaults.insert(phase.unwrap_or(2), actions);
            }
            Directive::UpdateTargets(rules, targets) => {
                self.updates.push(Update::Targets(rules, targets));
            }
            Directive::UpdateActions(rules, actions) => {
                self.updates.push(Update::Actions(rules, actions));
            }
            Directive::Remove(rules) => self.updates.push(Update::Remove(rules)),
            Directive::Engine(mode) => self.settings.engine = mode,
            Directive::RequestBodyAccess(on) => self.settings.request_body = on,
            Directive::ResponseBodyAccess(on) => self.settings.response_body = on,
            Directive::RequestBodyLimit(bytes) => {
                self.settings.request_body_bytes_max = Some(bytes);
            }
            Directive::ResponseBodyLimit(bytes) => {
                self.settings.response_body_bytes_max = Some(bytes);
            }
            Directive::JsonDepthLimit(depth) => self.settings.json_depth_max = Some(depth),
            Directive::ArgumentsLimit(count) => self.settings.arguments_max = Some(count),
            Directive::ResponseBodyTypes(types) => self.settings.response_types = Some(types),
            // Collections expire by `expirevar` and by their bound.
            Directive::CollectionTimeout(_) => {}
        }
    }

    /// Compiles what was read.
    ///
    /// # Errors
    /// The first mistake; nothing is kept of a set with one.
    pub fn compile(self) -> Result<Arc<RuleSet>, LoadError> {
        build::build(self).map(Arc::new)
    }

    /// How many rules have come so far, chained ones not counted.
    pub(crate) fn rules(&self) -> usize {
        let is_rule = |item: &&Item| matches!(item, Item::Chain(..));
        self.items.iter().filter(is_rule).count()
    }

    fn anywhere(&self, kind: LoadErrorKind) -> LoadError {
        let nowhere = || Location {
            file: Arc::from("rules"),
            line: 1,
            column: 1,
        };
        LoadError::new(self.last.clone().unwrap_or_else(nowhere), kind)
    }
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> LoadError {
    beginning(name, LoadErrorKind::Unreadable(error.to_string()))
}

/// An error of a whole file or folder.
pub(crate) fn beginning(name: &str, kind: LoadErrorKind) -> LoadError {
    let location = Location {
        file: Arc::from(name),
        line: 1,
        column: 1,
    };
    LoadError::new(location, kind)
}

fn dangling(chain: &[RuleAst]) -> Result<(), LoadError> {
    match chain.last() {
        Some(rule) => Err(LoadError::new(
            rule.location.clone(),
            LoadErrorKind::DanglingChain,
        )),
        None => Ok(()),
    }
}

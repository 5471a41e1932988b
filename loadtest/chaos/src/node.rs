//! What can be done to one node.

use std::collections::BTreeMap;
use std::time::Duration;

use mcsp_loadtest_scenario::{Action, AllowList, Node, Step};
use parking_lot::Mutex;

use crate::clock::{ClockFile, Skewed};
use crate::disk::Ballast;
use crate::down::{Down, Launch};
use crate::error::ChaosError;
use crate::faults::NetworkFaults;
use crate::freeze::Frozen;
use crate::process::Process;
use crate::proxy::{FaultProxy, ProxySettings};

/// A node, and the means to harm it.
#[derive(Debug)]
pub(crate) struct Target {
    node: Node,
    proxy: Option<FaultProxy>,
    /// What is wrong with its network, by step.
    network: Mutex<BTreeMap<usize, NetworkFaults>>,
    launch: Option<Launch>,
    clock: Option<ClockFile>,
}

/// What was done to a node, until it is undone or dropped.
#[derive(Debug)]
pub(crate) enum Harm<'a> {
    Network { target: &'a Target, step: usize },
    Down(Down),
    Frozen(Frozen),
    Ballast(Ballast),
    Skewed(Skewed),
}

impl Target {
    /// Opens the node's proxy, if it has one, and sees whether all of `steps`, which are for this node, can be done.
    pub(crate) async fn prepare(
        node: &Node,
        steps: &[&Step],
        allow: &AllowList,
        settings: &ProxySettings,
    ) -> Result<Self, ChaosError> {
        let proxy = match (node.proxy, node.address) {
            (Some(listen), Some(upstream)) => {
                Some(FaultProxy::open(listen, upstream, allow, settings).await?)
            }
            (Some(_), None) => return Err(missing(node, "address", "proxy")),
            (None, _) => None,
        };
        let mut target = Self {
            node: node.clone(),
            proxy,
            network: Mutex::default(),
            launch: None,
            clock: None,
        };
        for step in steps {
            target.check(step)?;
        }
        Ok(target)
    }

    pub(crate) fn proxy(&self) -> Option<&FaultProxy> {
        self.proxy.as_ref()
    }

    fn check(&mut self, step: &Step) -> Result<(), ChaosError> {
        let node = &self.node;
        match step.action {
            Action::Stop | Action::Kill => {
                let (process, pid_file) = self.process(step.action)?;
                self.launch = Launch::like(&process, &node.start, pid_file)?;
            }
            Action::Freeze => drop(self.process(step.action)?),
            Action::FillDisk => {
                let folder = node
                    .disk
                    .as_ref()
                    .ok_or_else(|| missing(node, "disk", "fill-disk"))?;
                Ballast::check(folder, step.free_bytes.unwrap_or(0))?;
            }
            Action::ClockSkew => self.clock = Some(ClockFile::of(&self.process(step.action)?.0)?),
            _ => {
                if self.proxy.is_none() {
                    return Err(missing(node, "proxy", step.action.name()));
                }
                NetworkFaults::of_step(step)
                    .unwrap_or_default()
                    .validate()?;
            }
        }
        Ok(())
    }

    fn process(&self, action: Action) -> Result<(Process, std::path::PathBuf), ChaosError> {
        let file = self.node.pid_file.clone();
        let file = file.ok_or_else(|| missing(&self.node, "pid_file", action.name()))?;
        Ok((Process::from_pid_file(&file)?, file))
    }

    /// Does what the step says.
    pub(crate) fn harm(&self, index: usize, step: &Step) -> Result<Harm<'_>, ChaosError> {
        let node = &self.node;
        Ok(match step.action {
            Action::Stop => Harm::Down(Down::stop(
                &self.process(step.action)?.0,
                self.launch.clone(),
                step.for_s,
            )?),
            Action::Kill => Harm::Down(Down::kill(
                &self.process(step.action)?.0,
                self.launch.clone(),
                step.for_s,
            )?),
            Action::Freeze => Harm::Frozen(Frozen::freeze(&self.process(step.action)?.0)?),
            Action::FillDisk => {
                let folder = node
                    .disk
                    .as_ref()
                    .ok_or_else(|| missing(node, "disk", "fill-disk"))?;
                Harm::Ballast(Ballast::fill(folder, step.free_bytes.unwrap_or(0))?)
            }
            Action::ClockSkew => {
                let clock = self
                    .clock
                    .as_ref()
                    .ok_or_else(|| missing(node, "pid_file", "clock-skew"))?;
                Harm::Skewed(clock.skew(step.skew_s.unwrap_or(0))?)
            }
            _ => {
                let faults = NetworkFaults::of_step(step).unwrap_or_default();
                self.change_network(|all| all.insert(index, faults))?;
                Harm::Network {
                    target: self,
                    step: index,
                }
            }
        })
    }

    fn change_network<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<usize, NetworkFaults>) -> T,
    ) -> Result<(), ChaosError> {
        // Held while the proxy is told, or two steps that end together could tell it in the wrong order.
        let mut all = self.network.lock();
        change(&mut all);
        let together = all
            .values()
            .fold(NetworkFaults::default(), |a, b| a.and(*b));
        match &self.proxy {
            Some(proxy) => proxy.set(together),
            None => Err(missing(&self.node, "proxy", "network faults")),
        }
    }
}

impl Harm<'_> {
    /// How often [`Harm::keep_up`] wants to be called; none: never.
    pub(crate) fn keep_up_every(&self) -> Option<Duration> {
        matches!(self, Self::Ballast(_)).then_some(Duration::from_secs(1))
    }

    /// A node that deletes files must not get out of a full disk by it.
    pub(crate) fn keep_up(&mut self) -> Result<(), ChaosError> {
        match self {
            Self::Ballast(ballast) => ballast.top_up().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Undoes it; nothing happens the second time.
    pub(crate) fn undo(&mut self) -> Result<(), ChaosError> {
        match self {
            Self::Network { target, step } => target.change_network(|all| all.remove(step)),
            Self::Down(down) => down.undo(),
            Self::Frozen(frozen) => frozen.undo(),
            Self::Skewed(skewed) => skewed.undo(),
            Self::Ballast(ballast) => {
                ballast.undo();
                Ok(())
            }
        }
    }
}

/// The others undo themselves.
impl Drop for Harm<'_> {
    fn drop(&mut self) {
        if matches!(self, Self::Network { .. }) {
            let _ = self.undo();
        }
    }
}

fn missing(node: &Node, key: &str, of: &str) -> ChaosError {
    ChaosError::unavailable(
        format!("nodes {:?}", node.name),
        format!("expected {key}, since there is {of}"),
    )
}

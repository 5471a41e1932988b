//! `mcsp-origin`: the regional node.

mod operator;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT, VALIDITY_DAYS_DEFAULT};
use mcsp_origin_node::config::{Config, DEFAULT_TOML, Roles};
use mcsp_origin_node::{Node, NodeError, Site, ca};
use mcsp_runtime::{SystemClock, SystemEntropy, install_crypto_provider};
use mcsp_telemetry::init_logging;

/// The regional node of MCSP: auth, upload, content and playback services, media origin, edge feed, and the storage
/// engines they stand on.
#[derive(Debug, Parser)]
#[command(name = "mcsp-origin", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node until SIGTERM or SIGINT.
    Run {
        /// The configuration file. Variables override it: MCSP_ORIGIN_LISTEN__RPC sets listen.rpc.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to run instead of the configuration's roles: all, or a list with commas.
        #[arg(long, value_name = "ROLES")]
        roles: Option<Roles>,
    },
    /// Check the configuration and everything it points at; exit 64 with each fault.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print a configuration with every key, its default and its range.
    DefaultConfig,
    /// Remove something from the cache of every node, or make it stale; wait until all have.
    Purge(operator::PurgeArgs),
    /// Who has carried out a purge.
    PurgeStatus(operator::StatusArgs),
    /// The certificate authority of one machine. In a cluster the mesh issues certificates instead.
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Make the authority, or find it; print its certificate.
    Init {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Issue a workload's certificate, replacing the one before.
    Issue {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// A region's id, or "edge".
        #[arg(long)]
        namespace: String,
        /// A service's name such as "origin" or "media", or a PoP's id.
        #[arg(long)]
        account: String,
        /// Where cert.pem, key.pem and ca.pem go.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// A further DNS name; may be given several times.
        #[arg(long = "dns", value_name = "NAME")]
        dns: Vec<String>,
        /// The trust domain in the SPIFFE name.
        #[arg(long, default_value = TRUST_DOMAIN_DEFAULT)]
        trust_domain: String,
        /// How long it is good, days.
        #[arg(long, default_value_t = VALIDITY_DAYS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=825))]
        days: u32,
    },
}

/// The command line is wrong (`EX_USAGE` of sysexits).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    install_crypto_provider();
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => {
            // `--help` and `--version` come this way too, and are no faults.
            let _ = error.print();
            return if error.use_stderr() {
                EXIT_USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match execute(command) {
        Ok(status) => status,
        Err(error) => {
            // The log may not be there yet, and a person should see it either way.
            let _ = writeln!(std::io::stderr(), "mcsp-origin: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(command: Command) -> Result<ExitCode, NodeError> {
    let done = match command {
        Command::Run { config, roles } => {
            let mut config = Config::load(&config)?;
            if let Some(roles) = roles {
                config.roles = roles;
                config.validate()?;
            }
            init_logging("mcsp-origin", &config.log.level)?;
            run(config)
        }
        Command::Check { config } => {
            let config = Config::load(&config)?;
            config.check()?;
            say("the configuration is good")
        }
        Command::DefaultConfig => say(DEFAULT_TOML.trim_end()),
        Command::Ca { command } => authority(command),
        Command::Purge(args) => return Ok(operator::purge(&args)),
        Command::PurgeStatus(args) => return Ok(operator::status(&args)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn run(config: Config) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| NodeError::Process(format!("runtime: {error}")))?;
    runtime.block_on(async {
        let site = Site::load(config, SystemClock::shared(), SystemEntropy::shared())?;
        let node = Node::start(site).await?;
        let trigger = node.trigger();
        let signals = tokio::spawn(async move { trigger.on_signal().await });
        let ended = node.run().await;
        signals.abort();
        ended
    })
}

fn authority(command: CaCommand) -> Result<(), NodeError> {
    match command {
        CaCommand::Init { dir } => say(ca::init(&dir)?.trim_end()),
        CaCommand::Issue {
            dir,
            namespace,
            account,
            out,
            dns,
            trust_domain,
            days,
        } => {
            let id = SpiffeId::new(&trust_domain, &namespace, &account)
                .map_err(mcsp_identity::IdentityError::from)?;
            let files = ca::issue(&ca::Issue {
                dir: &dir,
                id: id.clone(),
                dns: dns.iter().map(String::as_str).collect(),
                validity_days: days,
                out_dir: &out,
            })?;
            say(&format!("{id}\n{}", files.cert_file.display()))
        }
    }
}

fn say(text: &str) -> Result<(), NodeError> {
    match writeln!(std::io::stdout(), "{text}") {
        // Whoever reads our output may have had enough of it.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(NodeError::Process(error.to_string()))
        }
        _ => Ok(()),
    }
}

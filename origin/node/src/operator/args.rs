//! The words of `purge` and `purge-status`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mcsp_api::proto::feed::Purge;
use mcsp_api::proto::feed::purge::Target;
use mcsp_feed::key_of_url;

use super::OperatorError;

/// The longest wait for the nodes, seconds.
const WAIT_S_MAX: u64 = 3_600;

const EXIT: &str = "\
Exit status:
    0  every node of every region has carried it out
    1  failed; the message says why
   64  the command line or the identity is wrong
   69  the origin is away or overloaded; try again
   75  published, but not every node has carried it out within the time; the answer says which
   77  not allowed: the certificate is not an operator's of this region";

const PURGE_HELP: &str = "\
Examples:
  mcsp-origin ca issue --dir CA --namespace ng-lagos --account operator --out ~/operator
  mcsp-origin purge --identity ~/operator --reason \"takedown 4711\" content c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc
  mcsp-origin purge --identity ~/operator --reason \"new cut\" url https://los1.example/media/…/manifest.m3u8
  mcsp-origin purge --identity ~/operator --reason \"new art\" --soft prefix /media/global/c_ng_…/art/
  mcsp-origin purge --identity ~/operator --reason \"relaunch\" --wait 0 --json surrogate-key front-page
  mcsp-origin purge --identity ~/operator --reason \"drill\" everything --soft";

const STATUS_HELP: &str = "\
Examples:
  mcsp-origin purge-status --identity ~/operator
  mcsp-origin purge-status --identity ~/operator 4711 --wait 30 --json";

/// Where the origin is and who asks.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The folder with the operator's cert.pem, key.pem and ca.pem; the certificate's namespace is the region
    #[arg(long, value_name = "DIR", env = "MCSP_OPERATOR_IDENTITY")]
    pub(crate) identity: PathBuf,
    /// The region's rpc listener
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7401",
        env = "MCSP_ORIGIN_ADDRESS"
    )]
    pub(crate) address: String,
    /// Print the answer as JSON on standard output, and errors as JSON on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// Purge something in every region.
#[derive(Debug, Args)]
#[command(after_help = format!("{PURGE_HELP}\n\n{EXIT}"))]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Make it stale, to be revalidated before it is served, instead of removing it
    #[arg(long)]
    pub(crate) soft: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// How long to wait until every node has carried it out, seconds; 0 does not wait
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(0..=WAIT_S_MAX))]
    pub(crate) wait_s: u64,
    /// What kind of thing
    #[arg(value_enum)]
    pub(crate) kind: Kind,
    /// Which; none for everything
    pub(crate) value: Option<String>,
}

/// Tell who has carried out a purge.
#[derive(Debug, Args)]
#[command(after_help = format!("{STATUS_HELP}\n\n{EXIT}"))]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long to wait until every node has carried it out, seconds
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(0..=WAIT_S_MAX))]
    pub(crate) wait_s: u64,
    /// The purge's number, as `purge` printed it [default: the feed's last entry]
    pub(crate) sequence: Option<u64>,
}

/// What a purge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One URL as viewers have it, all its variants; the token in a media URL does not matter
    Url,
    /// One path on this platform, without a token, all its variants
    Path,
    /// Every path that begins like this, without a token, or every URL of a plain route
    Prefix,
    /// Every answer that its origin named by this key (Surrogate-Key, Cache-Tag)
    SurrogateKey,
    /// Everything of an item, by its content id
    Content,
    /// All there is
    Everything,
}

impl PurgeArgs {
    /// The purge that the words mean.
    pub(super) fn purge(&self) -> Result<Purge, OperatorError> {
        let usage = |text: &str| OperatorError::Usage(text.to_owned());
        let target = match (self.kind, self.value.clone()) {
            (Kind::Everything, None) => Target::Everything(true),
            (Kind::Everything, Some(_)) => return Err(usage("everything takes no value")),
            (_, None) => return Err(usage("say which, such as: purge content c_ng_…")),
            (Kind::Url, Some(url)) => {
                let key = key_of_url(&url);
                Target::Key(key.ok_or_else(|| usage("url: expected an http or https URL"))?)
            }
            (Kind::Path, Some(path)) => Target::Key(path),
            (Kind::Prefix, Some(prefix)) => Target::Prefix(prefix),
            (Kind::SurrogateKey, Some(key)) => Target::SurrogateKey(key),
            (Kind::Content, Some(id)) => Target::ContentId(id),
        };
        Ok(Purge {
            target: Some(target),
            soft: self.soft,
        })
    }
}

//! What may be said on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use mcsp_api::events::MediaType;
use mcsp_api::rest::Visibility;
use mcsp_api::{Residency, Role};
use url::Url;

const EXAMPLES: &str = "\
Examples:
  mcsp --server https://los1.example register ada@example.com --role creator
  mcsp upload holiday.mp4 --title 'At the beach' --residency ng
  mcsp status c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc
  mcsp play c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc

Exit status: 0 done, 1 failed or refused, 64 the command line is wrong, 69 the server cannot be reached,
77 sign in first.";

/// Upload to MCSP, follow what becomes of it, and play it.
#[derive(Debug, Parser)]
#[command(name = "mcsp", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The PoP to talk to; remembered by register and login
    #[arg(long, global = true, env = "MCSP_SERVER", value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// A PEM file of certificate authorities to trust besides the system's
    #[arg(long, global = true, env = "MCSP_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Where tokens and unfinished uploads are kept [default: mcsp in the user's configuration folder]
    #[arg(long, global = true, env = "MCSP_CONFIG_DIR", value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Print JSON for machines instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an account and sign in with it
    Register(RegisterArgs),
    /// Sign in
    Login(LoginArgs),
    /// End this session and forget its tokens
    Logout,
    /// Upload a file; run it again after an interruption and it goes on where it was
    Upload(UploadArgs),
    /// Show where an item stands
    Status {
        /// The item
        content_id: String,
    },
    /// Open a media session and print where to play it
    Play {
        /// The item
        content_id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct RegisterArgs {
    /// The account's address
    pub(crate) email: String,
    /// The name others see [default: the address up to the @]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What the account is for
    #[arg(long, value_enum, default_value_t = AccountRole::Viewer)]
    pub(crate) role: AccountRole,
    /// Read the password from standard input's first line instead of asking
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// The account's address
    pub(crate) email: String,
    /// Read the password from standard input's first line instead of asking
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// Roles that anyone may choose for himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccountRole {
    Viewer,
    Creator,
}

impl From<AccountRole> for Role {
    fn from(role: AccountRole) -> Self {
        match role {
            AccountRole::Viewer => Self::Viewer,
            AccountRole::Creator => Self::Creator,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct UploadArgs {
    /// The file
    pub(crate) file: PathBuf,
    /// Its title [default: the file's name]
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// What it is about
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// A tag; may be given again
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Its language (BCP 47), such as en or yo
    #[arg(long, default_value = "")]
    pub(crate) language: String,
    /// Who may see it
    #[arg(long, value_enum, default_value_t = Audience::Public)]
    pub(crate) visibility: Audience,
    /// Where its bytes may be, if your organisation leaves you the choice; never changed afterwards
    #[arg(long, value_enum)]
    pub(crate) residency: Option<Place>,
    /// What it is [default: by the file's name; the server looks inside anyway]
    #[arg(long = "type", value_enum)]
    pub(crate) media_type: Option<Kind>,
    /// Parts in flight at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) parallel: u8,
    /// Give up when nothing has moved for this long, seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) patience_s: u64,
    /// Do not wait until it can be played
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Wait until the last rendition is there, not just the first
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) wait_all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Audience {
    Public,
    Unlisted,
    Private,
}

impl From<Audience> for Visibility {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Public => Self::Public,
            Audience::Unlisted => Self::Unlisted,
            Audience::Private => Self::Private,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    Global,
    Ng,
}

impl From<Place> for Residency {
    fn from(place: Place) -> Self {
        match place {
            Place::Global => Self::Global,
            Place::Ng => Self::Ng,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Video,
    Audio,
}

impl From<Kind> for MediaType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Video => Self::Video,
            Kind::Audio => Self::Audio,
        }
    }
}

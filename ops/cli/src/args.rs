//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mcsp_api::Residency;
use mcsp_api::events::MediaType;
use mcsp_api::rest::Visibility;
use url::Url;

const EXAMPLES: &str = "\
Examples:
  mcsp --server https://los1.example:8443 login ada@example.com
  mcsp upload film.mp4 --title \"Lagos by night\" --residency ng
  mcsp status c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc
  mcsp play c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc --open

Exit status:
    0  done
    1  failed; the message says why
   64  the command line or the configuration is wrong
   65  the file cannot be used
   66  the file cannot be read
   69  the server is away or overloaded; try again
   77  not signed in, or not allowed
  130  interrupted; run an upload again to resume it";

/// Upload, follow and play media on MCSP.
#[derive(Debug, Parser)]
#[command(name = "mcsp", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Where the platform is, such as https://los1.example:8443. Signing in remembers it
    #[arg(long, global = true, value_name = "URL", env = "MCSP_SERVER")]
    pub(crate) server: Option<Url>,
    /// Trust the authorities in this file, and no others. Signing in remembers it
    #[arg(long, global = true, value_name = "PEM", env = "MCSP_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Where settings, tokens and unfinished uploads are kept [default: mcsp in the user's configuration folder]
    #[arg(long, global = true, value_name = "DIR", env = "MCSP_CONFIG_DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Print the result as JSON on standard output, and errors as JSON on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colour the output
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
    /// The first pause before a retry; later ones double, up to 30 s.
    #[arg(
        long,
        global = true,
        hide = true,
        default_value_t = 500,
        env = "MCSP_RETRY_PAUSE_MS"
    )]
    pub(crate) retry_pause_ms: u64,
    /// The pause between two looks at an item that is being processed.
    #[arg(
        long,
        global = true,
        hide = true,
        default_value_t = 1000,
        env = "MCSP_POLL_PAUSE_MS"
    )]
    pub(crate) poll_pause_ms: u64,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in
    Login(Login),
    /// Create an account and sign in
    Register(Register),
    /// Sign out, here and on the server
    Logout,
    /// Upload a file and follow it until it can be played; an interrupted upload resumes
    Upload(Box<Upload>),
    /// Print the signed addresses of an item, or open its page
    Play(Play),
    /// Show where an item or an upload stands
    Status(Status),
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The account's address; asked for when left out
    pub(crate) email: Option<String>,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The new account's address
    pub(crate) email: String,
    /// The name others see [default: the address up to its @]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What the account is for
    #[arg(long, value_enum, default_value_t = AccountRole::Creator)]
    pub(crate) role: AccountRole,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// What anyone may register as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccountRole {
    /// Watches
    Viewer,
    /// Uploads, and watches
    Creator,
}

#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// The file
    pub(crate) file: PathBuf,
    /// The item's title [default: the file's name]
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// What it is about
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// A tag; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Its category
    #[arg(long, default_value = "")]
    pub(crate) category: String,
    /// Its language, such as en or yo (BCP 47)
    #[arg(long, default_value = "")]
    pub(crate) language: String,
    /// Where its bytes may be, for ever: ng (Nigeria alone) or global [default: what the platform decides]
    #[arg(long, value_parser = parse_residency, value_name = "ng|global")]
    pub(crate) residency: Option<Residency>,
    /// Who may see it: public, unlisted or private
    #[arg(long, value_parser = parse_visibility, default_value = "public", value_name = "WHO")]
    pub(crate) visibility: Visibility,
    /// What it is: video or audio [default: by the file's name]
    #[arg(long = "type", value_parser = parse_media_type, value_name = "video|audio")]
    pub(crate) media_type: Option<MediaType>,
    /// Parts sent at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub(crate) parallel: u8,
    /// Stop once the file is safe on the server
    #[arg(long, conflicts_with = "wait_all")]
    pub(crate) no_wait: bool,
    /// Wait until every rendition is there, not only the first
    #[arg(long)]
    pub(crate) wait_all: bool,
    /// Go on retrying for so many seconds in which nothing moves
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "S")]
    pub(crate) patience_s: u64,
    /// Follow the processing for at most so many seconds
    #[arg(long, default_value_t = 14_400, value_parser = clap::value_parser!(u64).range(1..=604_800), value_name = "S")]
    pub(crate) wait_max_s: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Play {
    /// The item's id
    pub(crate) content_id: String,
    /// Open the item's page in the browser
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// An item's id (c_…) or an upload's (up_…)
    pub(crate) id: String,
}

fn parse_residency(text: &str) -> Result<Residency, String> {
    text.to_ascii_uppercase()
        .parse()
        .map_err(|_| "expected ng or global".to_owned())
}

fn parse_visibility(text: &str) -> Result<Visibility, String> {
    match text.to_ascii_lowercase().as_str() {
        "public" => Ok(Visibility::Public),
        "unlisted" => Ok(Visibility::Unlisted),
        "private" => Ok(Visibility::Private),
        _ => Err("expected public, unlisted or private".to_owned()),
    }
}

fn parse_media_type(text: &str) -> Result<MediaType, String> {
    match text.to_ascii_lowercase().as_str() {
        "video" => Ok(MediaType::Video),
        "audio" => Ok(MediaType::Audio),
        _ => Err("expected video or audio".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_of_either_case_are_taken() {
        for word in ["NG", "ng"] {
            let cli = Cli::try_parse_from(["mcsp", "upload", "a.mp4", "--residency", word])
                .expect("words");
            let Command::Upload(upload) = cli.command else {
                panic!("an upload")
            };
            assert_eq!(upload.residency, Some(Residency::Ng));
            assert_eq!(upload.visibility, Visibility::Public);
        }
        assert!(Cli::try_parse_from(["mcsp", "upload", "a.mp4", "--residency", "uk"]).is_err());
        assert!(Cli::try_parse_from(["mcsp", "upload", "a.mp4", "--parallel", "0"]).is_err());
    }
}

//! `chat-server admin`: asks a running node, over its admin port, who is online, and to act on accounts and nodes.

mod run;
mod show;
mod table;

use anyhow::{Context, ensure};
use chat::admin::client::{Client, Error};
use chat::auth::operators;
use chat::config::{self, Config};
use std::path::PathBuf;
use std::process::ExitCode;

/// The node said no.
const REFUSED: u8 = 1;
/// It was not reached, or it is unknown what came of it.
const UNKNOWN: u8 = 2;

#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "The node is the one at admin.address of the settings, or at --address. It must have a secret \
(admin.secret, admin.secret_file or CHAT_ADMIN__SECRET), and this command finds it in the same places: run it as the \
node's user, with the node's --config. What concerns a user works whichever node is asked.\n\nExamples:\n  \
chat-server admin online\n  \
chat-server admin kick zhang\n  \
chat-server admin disable 17\n  \
chat-server admin --address node-2:9100 --ca ca.pem drain node-2\n  \
chat-server admin --json conversations --limit 10\n\nExit code 0: done; 1: the node refused, and says why; 2: it was \
not reached, or it is unknown whether it was done."
)]
pub struct Arguments {
    /// Configuration file (TOML) of the node
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// host:port of the admin port to ask [default: admin.address of the configuration]
    #[arg(long, value_name = "ADDRESS", global = true)]
    address: Option<String>,
    /// Ask under TLS also on this machine; to other machines it always does
    #[arg(long, global = true)]
    tls: bool,
    /// PEM file of the certificate authorities to trust [default: those of the system]
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// JSON instead of tables: what the node answers
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The nodes that live, and how many users are online at each
    Nodes,
    /// Who is online, and where
    Online {
        /// Only those at this node
        #[arg(long, value_name = "NODE")]
        on: Option<String>,
        /// Users to list at most
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
    },
    /// One user: number, name, whether disabled, where online, how many messages wait
    User(User),
    /// End a user's session; clients are told not to come back by themselves
    Kick(User),
    /// Let nobody log in as this user any more, and end the session and all tokens
    Disable(User),
    /// Let a disabled user log in again
    Enable(User),
    /// Give a user another password, and end the session and all tokens; prints it if it is one by chance
    ResetPassword {
        #[command(flatten)]
        user: User,
        /// File that holds the password and nothing else; - is standard input [default: one by chance]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// End all tokens of a user, so that clients have to give the password again; an open session goes on
    EndTokens(User),
    /// Send the clients of the node that is asked elsewhere, and end it, as SIGTERM does
    Drain {
        /// Its name, so that no other is drained by mistake
        node: String,
    },
    /// The conversations that hold the most messages
    Conversations {
        /// Conversations to list at most, up to 1000
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u32,
    },
    /// Remove now what is kept no longer, by the settings of `retention` or by these
    #[command(
        after_help = "Nothing goes that is younger than retention.mid_window_s. What is removed comes back only \
with a backup."
    )]
    Prune {
        /// Age past which a message is too old [default: retention.days]
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// Messages of one conversation beyond which the oldest is one too many [default: retention.messages]
        #[arg(long, value_name = "NUMBER")]
        messages: Option<u64>,
        /// Age past which a message goes although a member has not received it [default: retention.unreceived_days]
        #[arg(long, value_name = "DAYS")]
        unreceived_days: Option<u32>,
    },
}

#[derive(Debug, clap::Args)]
struct User {
    /// Number or name; of a name that is a number, name:NAME
    user: String,
}

/// How the node is reached, and how it is told what came of it.
struct Session {
    client: Client,
    json: bool,
}

pub async fn run(arguments: Arguments, config: &Config) -> ExitCode {
    let session = match session(&arguments, config) {
        Ok(session) => session,
        Err(error) => return fail(&error, UNKNOWN),
    };
    match run::run(&session, arguments.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if let Some(Error::Refused(_)) = error.downcast_ref() { REFUSED } else { UNKNOWN };
            fail(&error, code)
        }
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("chat-server: {error:#}");
    code.into()
}

fn session(arguments: &Arguments, config: &Config) -> anyhow::Result<Session> {
    let config::Admin { address, .. } = &config.admin;
    let address = arguments.address.clone().unwrap_or_else(|| address.clone());
    ensure!(!address.is_empty(), "which node? set admin.address in its settings (--config), or give --address");
    let secret = operators::secret(&config.admin)?.context(
        "no secret: set admin.secret or admin.secret_file in the node's settings (--config), or the variable \
         CHAT_ADMIN__SECRET",
    )?;
    let client = Client::new(address, secret, arguments.tls, arguments.ca.as_deref())?;
    Ok(Session { client, json: arguments.json })
}

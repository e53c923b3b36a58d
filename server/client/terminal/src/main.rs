//! A chat client for people and for scripts.
//!
//! People get line editing, history, completion and colours; without a terminal it reads plain lines; with `--json` one
//! JSON command a line. Exit codes: 0 all done, 1 something was refused or failed, 2 no connection or wrong usage.

mod book;
mod connect;
mod find;
mod format;
mod input;
mod json;
mod line;
mod loaded;
mod person;

use clap::Parser;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Chat from the command line.
#[derive(Debug, Parser)]
#[command(name = "chat-client", version, after_long_help = json::HELP)]
pub struct Arguments {
    /// Host name or address of a node or load balancer
    host: String,
    /// Its port
    #[arg(default_value_t = 12345)]
    port: u16,
    /// Log in as this user at once; the password is asked for, or taken from CHAT_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Close a session that the user has elsewhere
    #[arg(long)]
    takeover: bool,
    /// Encrypt the connection and check the server's certificate
    #[arg(long)]
    tls: bool,
    /// Trust the certificates in this PEM file instead of the machine's
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// For scripts: one JSON command a line on standard input, one JSON object a line on standard output
    #[arg(long)]
    json: bool,
    /// Where nobody listens yet, try again for so many seconds: the server may still be starting
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u64,
    /// Do not ring for messages to you alone and where your name is mentioned
    #[arg(long)]
    no_bell: bool,
    #[command(flatten)]
    generate: chat_generate::Flag,
}

/// Something was refused or failed.
const FAILED: u8 = 1;
/// There is no connection, or it was used wrongly.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = chat_generate::asked::<Arguments>() {
        return code;
    }
    let arguments = Arguments::parse();
    // A thread may sit in a read from the terminal for ever, so the runtime's end must not wait for anything.
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let result = runtime.block_on(run(&arguments));
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("chat-client: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Returns whether everything that was asked for was done. Errors: no connection, unusable arguments.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let options = connect::options(arguments)?;
    let connected = connect::connect(&options, Duration::from_secs(arguments.wait)).await;
    let (client, events) = connected.map_err(|error| anyhow::anyhow!(connect::explain(&error, arguments.tls)))?;
    // Whatever listens there, only a chat server answers this.
    client.ping().await.map_err(|error| anyhow::anyhow!(connect::explain(&error, arguments.tls)))?;
    if arguments.json {
        return json::run(arguments, client, events).await;
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    person::Chat::open(arguments, options, terminal)?.run(client, events).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn help_says_all_there_is() {
        insta::assert_snapshot!(Arguments::command().render_long_help());
    }
}

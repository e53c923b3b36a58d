//! `chat-server-failpoints`: the same program under another name, for a build in which `FAILPOINTS` can switch faults
//! on.

#[path = "chat-server/main.rs"]
mod chat_server;

fn main() -> std::process::ExitCode {
    chat_server::main()
}

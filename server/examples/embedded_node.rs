//! A node inside one's own process, and two clients that talk through it.
//!
//! `cargo run -p chat --example embedded_node`

use anyhow::{Context, Result};
use chat::config::Config;
use chat::node::Node;
use chat_client::{Client, Credentials, Event, Events, Message, Options};
use chat_protocol::conversation::{Target, UserId};

/// Committed before it is acknowledged.
const STORED: u8 = 1;

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let node = Node::start(config(directory.path())).await?;
    let address = node.address().to_string();
    println!("a node listens on {address}");

    let (zhang, _, _) = log_in(&address, "zhang").await?;
    let (li, id_of_li, mut events_of_li) = log_in(&address, "li").await?;
    zhang.add_friend(id_of_li).await?;
    zhang.send(Target::User(id_of_li), "hello 你好", STORED).await?;
    // Whatever happens to the node from here on, li gets it.
    let message = next_message(&mut events_of_li).await?;
    println!("li got from {}: {}", message.name, message.msg);

    zhang.close().await;
    li.close().await;
    node.shutdown().drain();
    node.stopped().await?;
    Ok(())
}

/// The defaults are those of conf/server.toml.
fn config(directory: &std::path::Path) -> Config {
    let mut config = Config::default();
    config.listen.host = "127.0.0.1".into();
    // The system chooses one.
    config.listen.port = 0;
    config.database.url = format!("sqlite:{}", directory.join("chat.db").display());
    config
}

async fn log_in(address: &str, name: &str) -> Result<(Client, UserId, Events)> {
    let (client, events) = Client::connect(Options::new([address])).await?;
    let id = client.register(name, "secret").await?;
    client.login(Credentials::password(name, "secret")).await?;
    Ok((client, id, events))
}

async fn next_message(events: &mut Events) -> Result<Message> {
    loop {
        if let Event::Message(message) = events.next().await.context("the client has ended")? {
            return Ok(message);
        }
    }
}

//! A bot that says back whatever a friend writes to it.
//!
//! `cargo run -p chat-client --example bot 127.0.0.1:12345 parrot secret` registers `parrot` if nobody has that name
//! yet. Make friends with it (`/add ID` in `chat-client`) and write to it, also while it is not running: it answers
//! when it is back. Ctrl-C ends it.

use chat_client::{Client, Credentials, Error, Event, Message, Options};
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;

/// Committed before it is acknowledged, and sent again until it is.
const STORED: u8 = 1;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, password] = &arguments[..] else {
        return Err("expected HOST:PORT NAME PASSWORD".into());
    };
    let (client, mut events) = Client::connect(Options::new([address])).await?;
    match client.register(name, password).await {
        Ok(id) => println!("registered {name}, id {id}"),
        Err(Error::Refused(failure)) if failure.errno == Errno::Exists => {}
        Err(error) => return Err(error.into()),
    }
    // Another run of this bot gives way. From here on the client logs in again by itself when a connection is lost.
    let login = client.login(Credentials::password(name, password).taking_over()).await?;
    println!("{name} is here, id {}, {} messages waited", login.id, login.offline);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Message(message)) => answer(&client, &message)?,
                Some(Event::Acked { result: Err(error), .. }) => eprintln!("an answer was not taken: {error}"),
                Some(Event::Disconnected { why }) => eprintln!("disconnected: {why:?}"),
                Some(_) => {}
                None => return Ok(()),
            },
            signal = tokio::signal::ctrl_c() => {
                signal?;
                // Tells the node what was received, so that it does not come again.
                client.close().await;
                return Ok(());
            }
        }
    }
}

/// Groups get no answer: two such bots in one would never stop. Does not wait for the acknowledgement, since that comes
/// by way of the events, behind other messages.
fn answer(client: &Client, message: &Message) -> Result<(), Error> {
    if let Target::User(_) = message.target {
        println!("{}: {}", message.name, message.msg);
        client.send_nowait(Target::User(message.id), &message.msg, STORED)?;
    }
    Ok(())
}

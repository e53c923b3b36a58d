//! How a story becomes a test of each kind of cluster.

use chat_client::Error;
use chat_protocol::conversation::Target;
use chat_protocol::errno::Errno;
use futures_util::future::LocalBoxFuture;
use harness::cluster::{Ability, Cluster, Kind};
use harness::fault::{Active, Fault};
use harness::users::{Chat, Online, Record, everybody_logs_in, meet};
use libtest_mimic::{Failed, Trial};
use services::eventually;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

type Tell = Box<dyn FnOnce(&'static dyn Kind) -> LocalBoxFuture<'static, ()> + Send>;

/// A story, and what it takes.
pub struct Story {
    pub name: String,
    pub needs: Option<Ability>,
    pub tell: Tell,
}

/// The stories of a file: names of functions, each with what not every kind of cluster has.
macro_rules! stories {
    ($($name:ident $(needs $ability:ident)?),* $(,)?) => {
        pub fn stories() -> Vec<$crate::suite::Story> {
            let file = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::suite::Story {
                name: format!("{file}::{}", stringify!($name)),
                needs: [$(harness::cluster::Ability::$ability,)?].first().copied(),
                tell: Box::new(|kind| Box::pin($name(kind))),
            }),*]
        }
    };
}
pub(crate) use stories;

impl Story {
    pub fn on(self, kind: &'static dyn Kind) -> Trial {
        let name = format!("{}::{}", kind.name(), self.name);
        let lacking = self.needs.filter(|ability| kind.cannot().contains(ability));
        let Some(lacking) = lacking else {
            return Trial::test(name.clone(), move || tell(name, self.tell, kind));
        };
        let why = format!("not applicable: {} cannot {lacking}", kind.name());
        Trial::test(name, move || Err(Failed::from(&why)))
            .with_ignored_flag(true)
            .with_kind(format!("cannot {lacking}"))
    }
}

/// In a thread that carries the test's name: what is kept of a failure says how to run it again.
fn tell(name: String, tell: Tell, kind: &'static dyn Kind) -> Result<(), Failed> {
    let told = thread::Builder::new().name(name).spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        runtime.block_on(tell(kind));
    });
    told?.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(())
}

/// Four people who chat in a group, every other one on the first of two nodes.
pub async fn four_chat(cluster: &dyn Cluster) -> (Arc<Record>, Vec<Arc<Online>>, Chat) {
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let online = everybody_logs_in(&users, &[cluster.starting_at(0), cluster.starting_at(1)]).await;
    let chat = Chat::start(&online, group);
    (record, online, chat)
}

/// Three who chat, and a fourth, on the first node, who does not try again by itself.
pub struct Asking {
    pub record: Arc<Record>,
    pub online: Vec<Arc<Online>>,
    pub chat: Chat,
    pub probe: Online,
    pub group: Target,
}

pub async fn three_chat_and_one_asks(cluster: &dyn Cluster) -> Asking {
    let record = cluster.record();
    let (users, group) = meet(&record, &[cluster.entry()], 4).await;
    let online = everybody_logs_in(&users[..3], &[cluster.starting_at(0), cluster.starting_at(1)]).await;
    let probe = users[3].log_in_once(&cluster.starting_at(0)).await.expect("nobody is online yet");
    let chat = Chat::start(&online, group);
    Asking { record, online, chat, probe, group: Target::Group(group) }
}

/// Breaks something, until the guard is dropped or healed.
pub async fn inflict(cluster: &dyn Cluster, fault: &str) -> Active {
    let fault: Fault = fault.parse().expect("it is a fault");
    fault.inflict(cluster).await.expect("it can be inflicted")
}

/// Ends a fault.
pub async fn heal(fault: Active) {
    fault.heal().await.expect("it heals");
}

pub async fn new_messages_are_acknowledged(record: &Record, budget: Duration) {
    let start = Instant::now();
    eventually(budget, "new messages are acknowledged", async || (record.acked_since(start) >= 50).then_some(())).await;
    eprintln!("new messages are acknowledged after {:?}", start.elapsed());
}

/// A sender that does not try again by itself is told errno 11.
pub async fn sender_is_told(probe: &Online, to: Target, budget: Duration) {
    let refused = async || match probe.say_and_wait(to).await {
        Err(Error::Refused(failure)) if failure.errno == Errno::Unavailable => failure.retry,
        _ => None,
    };
    eventually(budget, "a sender gets errno 11 with a time to wait", refused).await;
}

/// Waits until this many more messages are acknowledged.
pub async fn chat_goes_on(record: &Record, budget: Duration, more: usize) {
    let goal = record.acked() + more;
    eventually(budget, "the chat goes on", async || (record.acked() >= goal).then_some(())).await;
}

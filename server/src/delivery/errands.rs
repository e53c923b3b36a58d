//! Background work that is only best effort, and bounded: EVENTs, and saying why a message is refused.

use chat_environment::Tasks;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Errands at once; beyond it an EVENT is not told, and a refusal says errno 11 instead of why.
const ERRANDS: usize = 256;
/// The same for telling friends of logins and logouts, which must not get in the way of these.
const PRESENCE_ERRANDS: usize = 4;

pub struct Errands {
    tasks: Tasks,
    any: Arc<Semaphore>,
    presence: Arc<Semaphore>,
}

/// What an errand is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Event,
    Presence,
    Refusal,
}

impl Errands {
    pub fn new(tasks: Tasks) -> Self {
        let (any, presence) = (Arc::new(Semaphore::new(ERRANDS)), Arc::new(Semaphore::new(PRESENCE_ERRANDS)));
        Errands { tasks, any, presence }
    }

    /// Starts one, or gives `with` back where too many are under way.
    pub fn run<W, F>(&self, purpose: Purpose, with: W, work: impl FnOnce(W) -> F) -> Result<(), W>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (name, room) = match purpose {
            Purpose::Event => ("event", &self.any),
            Purpose::Refusal => ("refusal", &self.any),
            Purpose::Presence => ("presence", &self.presence),
        };
        let Ok(permit) = room.clone().try_acquire_owned() else { return Err(with) };
        let work = work(with);
        self.tasks.spawn_short(name, async move {
            work.await;
            drop(permit);
        });
        Ok(())
    }
}

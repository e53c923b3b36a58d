//! Stops nodes of an embedded cluster while a run is on, and starts them again in their places.
//!
//! A node that is stopped goes at once, as one that is killed: its connections end, and it says no more to the others.
//! Each change is made by one task of the cluster's runtime; what is wanted meanwhile it does after.

use chat::config::Config;
use chat::node::{Embedded, Node};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Why a node is not stopped or started. Show the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is no such node")]
    NoNode,
    #[error("that node is down already")]
    Down,
    #[error("that node is up already")]
    Up,
}

/// Whoever has it stops and starts nodes.
#[derive(Clone)]
pub struct Switch(Arc<Shared>);

struct Shared {
    runtime: Handle,
    embedded: Embedded,
    places: Mutex<Vec<Place>>,
}

/// One node's place: its name and port stay.
struct Place {
    config: Config,
    state: State,
    is_wanted: bool,
}

enum State {
    Up(Box<Node>),
    Down,
    /// A task is at it.
    Changing,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("nodes", &self.count()).finish()
    }
}

impl Switch {
    /// Of nodes that run on `runtime`, each with what it was started with and its port.
    pub(super) fn new(runtime: Handle, embedded: Embedded, nodes: Vec<(Config, Node)>) -> Switch {
        let place = |(config, node)| Place { config, state: State::Up(Box::new(node)), is_wanted: true };
        let places = Mutex::new(nodes.into_iter().map(place).collect());
        Switch(Arc::new(Shared { runtime, embedded, places }))
    }

    /// How many nodes there are, up or down.
    pub fn count(&self) -> u32 {
        self.0.places.lock().len() as u32
    }

    /// Ends a node at once; they are counted from 1.
    ///
    /// # Errors
    /// There is none, or it is down.
    pub fn stop(&self, number: u32) -> Result<(), Refused> {
        self.want(number, false)
    }

    /// Starts a node where it was.
    ///
    /// # Errors
    /// There is none, or it is up.
    pub fn start(&self, number: u32) -> Result<(), Refused> {
        self.want(number, true)
    }

    /// Starts all that are down.
    pub fn start_all(&self) {
        // One that is up already is as it should be.
        for number in 1..=self.count() {
            let _ = self.start(number);
        }
    }

    /// Takes out the nodes that are up; nothing can be started any more.
    pub(super) fn take(&self) -> Vec<Node> {
        let up = |place: Place| if let State::Up(node) = place.state { Some(*node) } else { None };
        std::mem::take(&mut *self.0.places.lock()).into_iter().filter_map(up).collect()
    }

    fn want(&self, number: u32, is_wanted: bool) -> Result<(), Refused> {
        let index = (number as usize).checked_sub(1).ok_or(Refused::NoNode)?;
        let mut places = self.0.places.lock();
        let place = places.get_mut(index).ok_or(Refused::NoNode)?;
        if place.is_wanted == is_wanted {
            return Err(if is_wanted { Refused::Up } else { Refused::Down });
        }
        place.is_wanted = is_wanted;
        if !matches!(place.state, State::Changing) {
            let state = std::mem::replace(&mut place.state, State::Changing);
            self.0.runtime.spawn(change(self.0.clone(), index, state));
        }
        Ok(())
    }
}

/// Makes the node what it is wanted to be, until it is.
async fn change(shared: Arc<Shared>, index: usize, mut state: State) {
    loop {
        let config = {
            let mut places = shared.places.lock();
            // All is over.
            let Some(place) = places.get_mut(index) else { return };
            if place.is_wanted == matches!(state, State::Up(_)) {
                place.state = state;
                return;
            }
            place.config.clone()
        };
        state = match state {
            State::Up(node) => {
                node.shutdown().force();
                // However it ended, it is down.
                let _ = node.stopped().await;
                State::Down
            }
            State::Down | State::Changing => match Node::start_embedded(config, &shared.embedded).await {
                Ok(node) => State::Up(Box::new(node)),
                Err(error) => {
                    tracing::warn!(%error, node = index + 1, "a node cannot be started again");
                    let mut places = shared.places.lock();
                    if let Some(place) = places.get_mut(index) {
                        (place.state, place.is_wanted) = (State::Down, false);
                    }
                    return;
                }
            },
        };
    }
}

//! Simulated users, and what those of one run share.
//!
//! [`User`] is the state of one; [`Run`] holds the plan, the books and all users, and sends for them; [`live`] is the
//! task that connects one, and reads, answers and checks what arrives.

pub mod accounts;

mod pace;
mod retries;
mod state;
mod window;

mod run;
mod sending;

mod establish;
mod session;

pub use establish::PASSWORD;
pub(crate) use establish::describe;
pub use pace::Pace;
pub(crate) use retries::{Again, Retry};
pub use run::Run;
pub use session::live;
pub(crate) use state::UNANSWERED_PAUSE;
pub use state::{Answer, User, Wish};

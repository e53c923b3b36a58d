//! A run from set-up to outcome: accounts, logins, the measured time, and what still arrives after it.

mod gate;
mod open_files;
mod progress;
mod steering;
mod usage;

mod error;
mod last_login;
mod sending;
mod setup;
mod storms;
mod watch;

mod execute;
mod phases;

pub use error::Error;
pub use execute::{execute, execute_over};
pub use gate::Gate;
pub use open_files::raise_limit;
pub use progress::{Moment, Progress, Silent};
pub use steering::{Refused, Steering};

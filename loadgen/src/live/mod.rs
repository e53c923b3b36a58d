//! A page that shows something as it happens, and steers it: over HTTP and server-sent events, for a browser on this
//! machine or, where the address says so, in the network.
//!
//! The `board` holds what is shown, whatever that is, and tells its viewers what is new: each has a bounded queue, and
//! one that does not keep up is dropped, so that nobody who looks can hold up what is shown. Whoever asks has to know
//! the `guard`'s key, which stands in the address that is printed, so that no other page in the same browser can steer.
//! All of it happens on one thread of its own (`server`); a page is one file and asks for nothing else. The page of a
//! load run is `run`; the harness has others.

mod board;
mod guard;
mod moments;
mod page;
mod run;
mod server;

pub use board::{Audience, Board, Ending};
pub use guard::Address;
pub use moments::Moments;
pub use page::page;
pub use run::{About, Run};
pub use server::{Hands, Live};

/// Why there is no page. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot show the live page at {address}: {cause}; choose another port, or 0 for any that is free")]
    Listen { address: String, cause: std::io::Error },
    #[error("cannot start a thread for the live page: {0}")]
    Thread(std::io::Error),
}

//! Bytes to typed messages and back, for all dialects and both ends. Imports nothing of ours.
//!
//! A node's way in: `framing` cuts a frame out of the stream, `json` reads the one object in it, `decode` makes a typed
//! request of that; its way out is `encode`, each dialect in its own way, by the client's `spelling` of field names.
//! [`Codec`] is the one door to all of them. A client writes with [`message::Command::write`] and reads with
//! [`from_node`]. What there is to be said stands in [`message`], one line a message.

// What only tests see may ask the operating system for what it likes.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod codec;
pub mod conversation;
pub mod dialect;
pub mod errno;
pub mod framing;
pub mod from_node;
pub mod message;
pub mod murmur;
pub mod name;
pub mod scan;

mod answer;
mod decode;
mod encode;
mod fit;
mod json;
mod mid;
mod reader;
mod secret;
mod spelling;

pub use codec::Codec;
pub use dialect::Dialect;
pub use fit::MAX_NODE_FRAME_BYTES;
pub use json::MAX_NESTING;
pub use spelling::Spelling;

//! Bytes to typed messages and back, for all dialects. Imports nothing of ours.
//!
//! A dialect cuts frames out of the stream (`framed`, `checked`, `bare`), `json` reads the one object in a frame,
//! `request` makes a typed request of it, and each dialect writes what a node says in its own way, by the client's
//! `spelling` of field names. [`Codec`] is the one door to all of them.

pub mod codec;
pub mod conversation;
pub mod dialect;
pub mod errno;
pub mod message;
pub mod murmur;
pub mod name;

mod decode;
mod encode;
mod fit;
mod json;
mod reader;
mod spelling;

pub use codec::Codec;
pub use dialect::Dialect;
pub use fit::MAX_NODE_FRAME_BYTES;
pub use json::MAX_NESTING;
pub use spelling::Spelling;

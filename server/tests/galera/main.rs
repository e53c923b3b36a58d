//! A database at several servers: which one is used, what becomes of acknowledged messages when it is lost, and that it
//! does not matter at which of them something was done.

mod losses;
mod members;
mod support;

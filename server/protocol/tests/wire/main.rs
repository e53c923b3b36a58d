//! The wire, seen from outside: what any bytes become, and what a client gets to read.
//!
//! The bytes on the client's side are made and taken apart here by hand, so that a mistake in the codec cannot cancel
//! itself out.

mod document;
mod malformed;
mod refused;
mod replies;
mod round_trip;
mod spelling;
mod support;
mod table;

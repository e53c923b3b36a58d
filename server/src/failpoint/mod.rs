//! Faults that are built in on purpose, to prove that the tests and checkers which should notice them do.
//!
//! Each [`Failpoint`] breaks one promise of PROTOCOL.md in the place where a real bug would. They exist only with the
//! Cargo feature `failpoints` (binary `chat-server-failpoints`) and are off until named in the environment:
//! `FAILPOINTS='push::drop=1%return;lease::stale=return'`, in the syntax of the crate `fail`: `return` is a hit,
//! `1%return` one in a hundred times, `3*return` the first three times, `50*off->1*return` only the 51st time.
//!
//! Without the feature every function here is constant, every type empty, and `fail` is not linked.

#[cfg(not(feature = "failpoints"))]
mod absent;
#[cfg(feature = "failpoints")]
mod armed;
#[cfg(feature = "failpoints")]
mod early_acks;
#[cfg(feature = "failpoints")]
mod push_faults;
mod wrong_values;

#[cfg(not(feature = "failpoints"))]
pub(crate) use absent::{EarlyAcks, PushFaults, hits};
#[cfg(feature = "failpoints")]
pub(crate) use armed::hits;
#[cfg(feature = "failpoints")]
pub use armed::{Error, clear, set, set_from_environment};
#[cfg(feature = "failpoints")]
pub(crate) use early_acks::EarlyAcks;
#[cfg(feature = "failpoints")]
pub(crate) use push_faults::PushFaults;
pub(crate) use wrong_values::{mid_to_store, outcome, queue, stranger};

/// Declares each failpoint with its name in `FAILPOINTS`.
macro_rules! failpoints {
    ($($(#[$breaks:meta])* $point:ident $name:literal)*) => {
        /// A place where a fault can be switched on, and the promises that it breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failpoint {
            $($(#[$breaks])* $point,)*
        }

        impl Failpoint {
            pub const ALL: [Failpoint; [$($name),*].len()] = [$(Failpoint::$point),*];

            /// As `FAILPOINTS` has it.
            pub fn name(self) -> &'static str {
                match self { $(Failpoint::$point => $name,)* }
            }
        }
    };
}

failpoints! {
    /// G2: a session counts a stored message as pushed without sending it.
    PushDrop "push::drop"
    /// G2: a session pushes a message twice.
    PushTwice "push::twice"
    /// G3: a session pushes a message only after the next one of its conversation. One that no other follows is never
    /// sent.
    PushSwap "push::swap"
    /// G5: a session pushes the first half of the text.
    PushAlter "push::alter"
    /// G5: a message also reaches somebody on the sender's node who is no recipient.
    PushMisdeliver "push::misdeliver"
    /// G1: a message is acknowledged although its commit failed, as if the writer had not waited for it.
    WriterAckEarly "writer::ack_early"
    /// G4: a message is stored under a `mid` that is not its own, so that a resend is not recognised. Read from the log
    /// it is a phantom (G5).
    WriterForgetMid "writer::forget_mid"
    /// G6: the node believes in its lease for ever. It goes on after the end of it, and keeps sessions that were taken
    /// over.
    LeaseStale "lease::stale"
    /// G2, G7: the repair does not look into the log.
    SweepSkip "sweep::skip"
    /// G2: what waits for a user at login counts as pushed before it is.
    SessionOfflineLost "session::offline_lost"
    /// G8: an `id` that is somebody else's is not refused.
    IdentityTrust "identity::trust"

    // Holes that were found and mended, open again: each is the one decision that mends it, switched off.
    /// G3: messages of one conversation wait in several queues, and overtake each other.
    WriterScatter "writer::scatter"
    /// G5: a message whose COMMIT failed is refused for good, though it may be stored.
    WriterFinal "writer::final"
    /// G5: a resend of what is stored, though its sender was not told so, is refused as another message.
    WriterDisown "writer::disown"
    /// G3: a relayed message overtakes those of its sender that have to take a longer way.
    RelayOvertake "relay::overtake"
    /// G2: a live copy is pushed whatever is missing before it.
    SessionPushAhead "session::push_ahead"
    /// G2: sessions that go on after a lapse of the lease read nothing of what came meanwhile.
    SessionResumeNothing "session::resume_nothing"
    /// G2: a session's row is freed without its cursors being saved.
    ClaimsFreeUnsaved "claims::free_unsaved"
    /// G2: cursors count as saved though saving them failed.
    CursorsSavedAnyway "cursors::saved_anyway"
    /// G2: what a user writes counts as received with all that was pushed before it.
    CursorsOwnCovers "cursors::own_covers"
    /// G2: what comes twice through the bus is used twice.
    BusTakeRepeats "bus::take_repeats"
    /// G2: retention removes what somebody has not received.
    RetentionUnreceived "retention::unreceived"
}

//! RECEIVED: how far a client has a conversation.

ask! {
    /// The client has all of `conv` up to `seq`. Not answered, not even when it is malformed.
    Received {
        /// As the client knows it; text that names no conversation is ignored like another's conversation.
        conv: String = text("conv"),
        seq: u64 = position("seq"),
    }
}

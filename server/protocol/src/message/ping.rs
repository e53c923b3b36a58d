//! PING and PONG, which either side may ask and answers.

use super::fields::TimeMs;

ask! {
    /// Asks for a sign of life.
    Ping {}
}

ask! {
    /// A client's sign of life; not answered.
    Pong {}
}

answer! {
    /// PONG as a node says it.
    ServerTime {
        #[serde(default)]
        time: TimeMs,
    }
}

//! The servers that a database may be at, as they are shown.

/// One of the servers that `database.url` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// `host:port`.
    pub place: String,
    /// This node uses it now.
    pub is_used: bool,
    /// Why it could not be used when it was last looked at.
    pub trouble: Option<String>,
}

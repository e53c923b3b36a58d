//! Settings of a node that runs: what can change is changed, and the log says what was not.

use crate::config::{self, Config};
use crate::context::Context;
use crate::tls;
use std::sync::Arc;

/// A running node's settings.
#[derive(Clone)]
pub struct Settings {
    pub(super) context: Arc<Context>,
}

impl Settings {
    /// Puts into force what of `new` can change without a restart, and reads the certificate again, also where its
    /// path is the same. Returns what is in force now.
    ///
    /// A connection that is open keeps to what held when it was accepted. A certificate that cannot be used leaves the
    /// old one in force, with the rest of `[tls]`.
    ///
    /// # Errors
    /// Settings that cannot be used; then nothing has changed.
    pub fn reload(&self, new: &Config) -> Result<Arc<Config>, config::Error> {
        for warning in new.validate()? {
            tracing::warn!("{warning}");
        }
        let old = self.context.config.get();
        let mut next = old.reloaded(new);
        match tls::acceptor(&next.tls) {
            Ok(acceptor) => self.context.tls.set(acceptor),
            Err(error) => {
                tracing::error!(%error, "the old certificate stays in use");
                next.tls = old.tls.clone();
            }
        }
        // The certificate has been complained about.
        let wanted = Config { tls: next.tls.clone(), ..new.clone() };
        let (changed, waiting) = (old.differences(&next), next.differences(&wanted));
        let tls = next.tls.certificate.is_some();
        self.context.config.set(next);
        tracing::info!(changed = changed.join(", "), tls, "settings read again");
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these settings have changed and wait for a restart");
        }
        Ok(self.context.config.get())
    }
}

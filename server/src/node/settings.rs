//! Settings of a node that runs: what can change is changed, and the log says what was not.

use crate::config::{self, Admin, Config};
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
    /// old one in force, with the rest of `[tls]`; so does a secret in `[admin]`.
    ///
    /// # Errors
    /// Settings that cannot be used; then nothing has changed.
    pub fn reload(&self, new: &Config) -> Result<Arc<Config>, config::Error> {
        for warning in new.validate()? {
            tracing::warn!("{warning}");
        }
        let old = self.context.config.get();
        let mut next = old.reloaded(new);
        // What waits for a restart stays beside what does not.
        next.validate()?;
        match tls::acceptor(&next.tls) {
            Ok(acceptor) => self.context.tls.set(acceptor),
            Err(error) => {
                tracing::error!(%error, "the old certificate stays in use");
                next.tls = old.tls.clone();
            }
        }
        let entropy = &*self.context.environment.entropy;
        if let Err(error) = self.context.operators.reload(&next.admin, entropy) {
            tracing::error!(%error, "the old secret stays in use");
            next.admin = old.admin.clone();
        }
        // What was refused has been complained about.
        let admin = Admin { address: new.admin.address.clone(), ..next.admin.clone() };
        let wanted = Config { tls: next.tls.clone(), admin, ..new.clone() };
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

//! What systemd is told (`Type=notify`): that the node serves, reads its settings, ends, and still lives.
//!
//! Where NOTIFY_SOCKET is not set, nobody is told anything.

use chat::shutdown::Shutdown;
use sd_notify::NotifyState;
use std::convert::Infallible;

/// Clients are served, with the settings as they are.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// The settings are being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell the time to the supervisor"),
    }
}

/// Tells when the end begins, and until then and through it gives the signs of life that the supervisor wants: they
/// stop where the runtime hangs.
pub async fn tell(shutdown: Shutdown) -> Infallible {
    // Twice as often as is required, as systemd advises.
    let mut tick = sd_notify::watchdog_enabled().map(|patience| tokio::time::interval(patience / 2));
    let mut told = false;
    loop {
        tokio::select! {
            () = shutdown.draining(), if !told => {
                send(&[NotifyState::Stopping]);
                told = true;
            }
            () = async {
                match &mut tick {
                    Some(tick) => _ = tick.tick().await,
                    None => std::future::pending().await,
                }
            } => send(&[NotifyState::Watchdog]),
        }
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the supervisor");
    }
}

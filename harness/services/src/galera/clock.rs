//! A server's clock that can be set.

/// Where Debian's libfaketime is, in the build for programs of several threads.
pub(super) const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// What makes a server's clock go by a file: the time of day, but not how time passes.
pub fn clock_variables(file: &str) -> [(&'static str, String); 4] {
    [
        ("LD_PRELOAD", FAKETIME.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_owned()),
        // It looks into the file again after a second.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// What such a file holds: how many seconds the clock is ahead, or behind.
pub fn clock_text(ahead_s: i64) -> String {
    format!("{ahead_s:+}s\n")
}

//! What of the log is wanted: `info`, or `info,chat=debug`.

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.filter is {filter:?}: {reason}; expected for example \"info\" or \"info,chat=debug\"")]
pub struct Error {
    filter: String,
    reason: String,
}

/// Reads a filter such as `info` or `info,chat=debug`.
///
/// # Errors
/// The offending text. An empty filter is one: it would silence the node.
pub fn parse(text: &str) -> Result<Targets, Error> {
    let refuse = |reason: String| Error { filter: text.to_owned(), reason };
    if text.trim().is_empty() {
        return Err(refuse("empty".into()));
    }
    // The parser takes no blanks; people write them.
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    for directive in &directives {
        // A lone word that is no level would be taken for the name of a module and turn all others off: `inof` for
        // `info` would silence the node.
        let is_word = directive.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word && directive.parse::<LevelFilter>().is_err() {
            return Err(refuse(format!("{directive:?} is no level (off, error, warn, info, debug, trace)")));
        }
        let is_named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'=');
        if !directive.bytes().all(is_named) {
            return Err(refuse(format!("{directive:?} is neither a level nor module=level")));
        }
    }
    directives.join(",").parse().map_err(|error: ParseError| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused_with_the_offending_text() {
        for good in ["info", "OFF", "info,chat=debug", "warn, chat::bus=trace"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "inof", "chat=loud", "info,chat[=debug"] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}

//! The page: one document with the report's style, and a script that draws what it is told.

use crate::report::STYLE;
use hyper::body::Bytes;
use std::sync::LazyLock;

const FRAME: &str = include_str!("frame.html");
const BODY: &str = include_str!("run.html");
const MORE_STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("draw.js"), include_str!("wire.js"), include_str!("run.js")];
/// Nothing is loaded from anywhere; only this page's own server is asked, and no other page may put this one in a
/// frame.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The whole page.
pub fn page() -> Bytes {
    static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
        let page = FRAME.replace("{{style}}", &format!("{STYLE}{MORE_STYLE}")).replace("{{body}}", BODY);
        page.replace("{{script}}", &SCRIPTS.concat()).into()
    });
    PAGE.clone()
}

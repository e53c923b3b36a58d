//! What pages have in common: the report's style, drawing, and how events come and something is asked for.

use super::moments::MAX_MOMENTS;
use crate::report::STYLE;

const FRAME: &str = include_str!("frame.html");
const MORE_STYLE: &str = include_str!("page.css");
const SHARED: &str = concat!(include_str!("draw.js"), include_str!("wire.js"));
/// Nothing is loaded from anywhere; only this page's own server is asked, and no other page may put this one in a
/// frame.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A whole page: a title, what stands below its head, and style and script of its own beside those that all pages have.
pub fn page(title: &str, body: &str, style: &str, script: &str) -> String {
    let page = FRAME.replace("{{title}}", title).replace("{{style}}", &[STYLE, MORE_STYLE, style].concat());
    // A page keeps as many as the board does.
    let limit = format!("const MOST_MOMENTS = {MAX_MOMENTS};\n");
    page.replace("{{body}}", body).replace("{{script}}", &[SHARED, &limit, script].concat())
}

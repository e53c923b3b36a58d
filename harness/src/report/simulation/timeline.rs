//! What happened, drawn: a lane for each node and each user, faults shaded where they struck, messages from sender to
//! recipient, and what violates a promise marked with its line of the history.

use super::Found;
use super::sheet::{LANE, LEFT, RIGHT, Sheet, TOP, WIDTH, ticks};
use judge::history::Event;
use loadgen::report::escape;
use sim::told;
use std::collections::BTreeMap;
use std::fmt::Write;
use uuid::Uuid;

/// Below the lanes: the axis, and the key.
const BOTTOM: f64 = 58.0;
/// The narrowest that a fault is drawn.
const NARROWEST: f64 = 3.0;
/// Beyond so many ways of messages only those that violate something are drawn.
const MOST_WAYS: usize = 120;

/// The timeline as SVG.
pub(super) fn draw(found: &Found) -> String {
    let sheet = Sheet::of(found);
    let height = sheet.bottom() + BOTTOM;
    let mut text = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"what happened when\">");
    sheet.draw_lanes(&mut text);
    sheet.draw_faults(&mut text);
    sheet.draw_sessions(&mut text);
    sheet.draw_ways(&mut text);
    sheet.draw_signs(&mut text);
    key(&mut text, height - 12.0);
    text.push_str("</svg>");
    text
}

impl Sheet<'_> {
    fn draw_lanes(&self, text: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, self.bottom());
        // Writing to memory cannot fail, here and below.
        for at in ticks(self.from, self.to) {
            let x = self.x(at);
            let _ = write!(
                text,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{} s</text>",
                bottom + 16.0,
                at / 1e6
            );
        }
        let nodes = (0..self.found.left.nodes).map(|node| (self.lane_of_node(node), format!("node-{node}"), "runs"));
        let users = (0..self.found.left.users).map(|user| (self.lane_of_user(user), format!("user {user}"), "lane"));
        let all = [(0, "everywhere".to_owned(), "lane")].into_iter().chain(nodes).chain(users);
        for (lane, name, class) in all {
            let y = self.y(lane);
            let _ = write!(
                text,
                "<text class=\"name end\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>\
                 <line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\"/>",
                LEFT - 12.0,
                y + 4.0
            );
        }
    }

    fn draw_faults(&self, text: &mut String) {
        for fault in &self.found.left.faults {
            let what = escape(&told::words(&fault.what));
            let (from, to) = (fault.at_ms as f64 * 1e3, (fault.at_ms + fault.length_ms) as f64 * 1e3);
            let (x, end) = (self.x(from), self.x(to));
            let lanes = self.lanes_of(&serde_json::to_value(&fault.what).unwrap_or_default());
            let labelled = lanes.first().copied().unwrap_or_default();
            let (top, height) = (self.y(labelled) - LANE / 2.0 + 2.0, LANE - 4.0);
            for lane in if lanes.is_empty() { vec![0] } else { lanes.clone() } {
                let width = (end - x).max(NARROWEST);
                let y = self.y(lane) - LANE / 2.0 + 2.0;
                let height = if lanes.is_empty() { self.bottom() - y } else { height };
                let _ = write!(
                    text,
                    "<rect class=\"fault\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                     rx=\"4\"><title>{what}</title></rect>"
                );
            }
            let place = if x > WIDTH * 0.7 { ("end", x - 4.0) } else { ("", x + 4.0) };
            let (class, x, y) = (place.0, place.1, top + 11.0);
            let _ = write!(text, "<text class=\"what {class}\" x=\"{x:.1}\" y=\"{y:.1}\">{what}</text>");
        }
    }

    fn draw_sessions(&self, text: &mut String) {
        let mut open: BTreeMap<(u64, u32), (u64, &str)> = BTreeMap::new();
        let mut sessions = Vec::new();
        for entry in self.entries {
            match &entry.event {
                Event::Login { user, session, node, .. } => {
                    open.insert((*user, *session), (entry.t, node.as_deref().unwrap_or_default()));
                }
                Event::End { user, session, .. } => {
                    let begun = open.remove(&(*user, *session));
                    sessions.extend(begun.map(|(from, node)| (*user, *session, from, entry.t, node)));
                }
                _ => {}
            }
        }
        let staying = open.into_iter().map(|((user, session), (from, node))| (user, session, from, u64::MAX, node));
        for (user, session, from, to, node) in sessions.into_iter().chain(staying) {
            let Some(lane) = self.lane_of(user) else { continue };
            let (x, end, y, node) = (self.x(from as f64), self.x(to as f64), self.y(lane), escape(node));
            if end - x < 0.1 {
                continue;
            }
            let _ = write!(
                text,
                "<rect class=\"session {node}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" rx=\"3\">\
                 <title>session {session} of user {user} on {node}</title></rect>",
                y - 6.0,
                end - x
            );
        }
    }

    fn draw_ways(&self, text: &mut String) {
        let mut sent: BTreeMap<Uuid, (u64, u64)> = BTreeMap::new();
        let mut ways = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            match &entry.event {
                Event::Send { user, mid, .. } => drop(sent.entry(*mid).or_insert((entry.t, *user))),
                Event::Push { user, mid: Some(mid), .. } if self.is_shown(entry.t) => {
                    ways.extend(sent.get(mid).map(|(at, from)| (number, *at, *from, entry.t, *user)));
                }
                _ => {}
            }
        }
        let shows_all = ways.len() <= MOST_WAYS;
        for (number, sent, from, arrived, to) in ways {
            let is_wrong = self.wrong.contains(&number);
            let (Some(from), Some(to)) = (self.lane_of(from), self.lane_of(to)) else { continue };
            if shows_all || is_wrong {
                let class = if is_wrong { "way wrong" } else { "way" };
                let (x1, x2) = (self.x(sent as f64), self.x(arrived as f64));
                let (y1, y2) = (self.y(from), self.y(to));
                let _ = write!(text, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1}\" x2=\"{x2:.1}\" y2=\"{y2}\"/>");
            }
        }
    }

    fn draw_signs(&self, text: &mut String) {
        let mut marks = 0_usize;
        for (number, entry) in self.entries.iter().enumerate().filter(|(_, entry)| self.is_shown(entry.t)) {
            let Some((user, sign)) = sign(&entry.event) else { continue };
            let Some(lane) = self.lane_of(user) else { continue };
            let (x, y) = (self.x(entry.t as f64), self.y(lane));
            let title = escape(&format!("{}: {}", number + 1, serde_json::to_string(entry).unwrap_or_default()));
            let _ = write!(text, "<g transform=\"translate({x:.1} {y})\"><title>{title}</title>{sign}");
            if self.wrong.contains(&number) {
                // Above and below by turns, since what belongs together often lies close together.
                let y = if marks.is_multiple_of(2) { -12 } else { 20 };
                let number = number + 1;
                let _ = write!(
                    text,
                    "<circle class=\"mark\" r=\"9\"/><text class=\"number middle\" y=\"{y}\">{number}</text>"
                );
                marks += 1;
            }
            text.push_str("</g>");
        }
    }
}

/// What an event of a user looks like, and whose it is.
fn sign(event: &Event) -> Option<(u64, &'static str)> {
    match event {
        Event::Send { user, .. } => Some((*user, "<path class=\"send\" d=\"M-5 -5L5 0L-5 5Z\"/>")),
        Event::Ack { user, .. } => Some((*user, "<circle class=\"ack\" r=\"6\"/>")),
        Event::Refused { user, .. } => Some((*user, "<path class=\"refused\" d=\"M-5 -5L5 5M-5 5L5 -5\"/>")),
        Event::Push { user, .. } => Some((*user, "<circle class=\"push\" r=\"4\"/>")),
        _ => None,
    }
}

fn key(text: &mut String, y: f64) {
    let signs = [
        ("<path class=\"send\" d=\"M-5 -5L5 0L-5 5Z\"/>", "sent"),
        ("<circle class=\"ack\" r=\"6\"/>", "acknowledged"),
        ("<path class=\"refused\" d=\"M-5 -5L5 5M-5 5L5 -5\"/>", "refused"),
        ("<circle class=\"push\" r=\"4\"/>", "arrived"),
        ("<circle class=\"mark\" r=\"7\"/>", "violates a promise, with its line of the history"),
    ];
    let mut x = LEFT;
    for (sign, name) in signs {
        let _ = write!(
            text,
            "<g transform=\"translate({x} {})\">{sign}</g><text class=\"key\" x=\"{}\" y=\"{y}\">{name}</text>",
            y - 4.0,
            x + 12.0
        );
        x += 40.0 + 7.0 * name.len() as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn violating_messages_are_marked_and_faults_lie_in_their_lane() {
        let found = samples::found();
        let (drawn, sheet) = (draw(&found), Sheet::of(&found));
        assert_eq!(sheet.wrong.len(), drawn.matches("class=\"mark\"").count() - 1, "{drawn}");
        let paused = format!("y=\"{:.1}\" width", sheet.y(sheet.lane_of_node(1)) - LANE / 2.0 + 2.0);
        assert!(drawn.contains(&paused), "{paused}: {drawn}");
        assert_eq!(drawn.matches("class=\"way wrong\"").count(), 2, "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
    }
}

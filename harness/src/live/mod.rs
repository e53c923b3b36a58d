//! Pages that show a run of the harness as it happens: `chaos`, faults at random while people chat, and `simulation`,
//! seed after seed. Server, guard and viewers are those of the load generator's page.
//!
//! A page only shows: what it is told it forgets beyond named limits, and nobody who looks holds up a run. All that a
//! viewer can do is to ask for an early end, in order; what is judged then says so.

pub mod chaos;
pub mod simulation;

use loadgen::live::{Address, Board, Hands, Live, page};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const BODY: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SHARED: &str = include_str!("shared.js");

/// What a viewer can ask for.
#[derive(Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
enum Act {
    Stop,
}

/// Carries out what a viewer asks for.
struct Wheel<F>(F);

impl<F: Fn() -> Result<String, String> + Send + Sync + 'static> Hands for Wheel<F> {
    fn act(&self, json: &[u8]) -> Result<String, String> {
        match serde_json::from_slice(json) {
            Ok(Act::Stop) => self.0(),
            Err(error) => Err(format!("nothing known: {error}")),
        }
    }
}

/// Serves a page, and says where.
fn open<S: Serialize + Send + 'static>(
    address: &Address,
    title: &str,
    script: &str,
    board: &Arc<Board<S>>,
    stop: impl Fn() -> Result<String, String> + Send + Sync + 'static,
) -> Result<Live, loadgen::live::Error> {
    let page = page(title, BODY, STYLE, &[SHARED, script].concat());
    let live = Live::open(address, page, board.clone(), Arc::new(Wheel(stop)))?;
    eprintln!("live: {}", live.url());
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_carried_out() {
        let wheel = Wheel(|| Ok("done".to_owned()));
        assert_eq!(wheel.act(br#"{"act":"stop"}"#), Ok("done".into()));
        for wrong in ["", "{}", r#"{"act":"explode"}"#, "\u{0}"] {
            let refused = wheel.act(wrong.as_bytes()).expect_err(wrong);
            assert!(refused.starts_with("nothing known"), "{refused}");
        }
    }
}

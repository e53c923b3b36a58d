//! A schedule in words, line by line. A step or a fault reads as its fields do, so that a new one need not be known
//! here.

use crate::Schedule;
use serde::Serialize;
use serde_json::Value;

/// One step or fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at_ms: u64,
    /// How long it lasts; 0 for a step.
    pub length_ms: u64,
    /// The user who does it; `None` for a fault.
    pub user: Option<usize>,
    pub what: String,
}

/// All of it, by time.
pub fn lines(schedule: &Schedule) -> Vec<Line> {
    let steps = schedule.steps.iter().map(|step| Line {
        at_ms: step.at_ms,
        length_ms: 0,
        user: Some(step.user),
        what: words(&step.what),
    });
    let faults = schedule.faults.iter().map(|fault| Line {
        at_ms: fault.at_ms,
        length_ms: fault.length_ms,
        user: None,
        what: words(&fault.what),
    });
    let mut lines: Vec<Line> = steps.chain(faults).collect();
    lines.sort_by_key(|line| line.at_ms);
    lines
}

/// `{"commits": {"before": 3, "after": 0}}` as `commits before 3 after 0`.
pub fn words(what: &impl Serialize) -> String {
    let mut words = Vec::new();
    gather(&serde_json::to_value(what).unwrap_or_default(), &mut words);
    words.join(" ").replace('_', " ")
}

fn gather(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                // Such a name is there to hold the fields below it together.
                if !matches!((name.as_str(), value), ("badness", Value::Object(_))) {
                    words.push(name.clone());
                }
                gather(value, words);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, words)),
        Value::String(word) => words.push(word.clone()),
        Value::Null => {}
        other => words.push(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Breaking, Doing};

    #[test]
    fn steps_and_faults_read_as_their_fields_do() {
        assert_eq!(words(&Doing::WriteAgain), "write again");
        assert_eq!(words(&Doing::Write { friend: 2, qos: 1 }), "write friend 2 qos 1");
        assert_eq!(words(&Breaking::Pause { node: 1 }), "pause node 1");
    }
}

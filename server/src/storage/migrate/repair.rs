//! Undoing what the classic servers did to texts on their way into the database, before anything is planned with them.
//!
//! First texts that were taken for GBK (`misread`, as far as the `evidence` of the whole database goes), then JSON that
//! lost its backslashes. What was lost for good is marked in the text and named in the report.

use super::backslashes::{self, Literal};
use super::classic::{Classic, Offline};
use super::evidence::{Encoding, Evidence, Verdict};
use super::misread::{self, LOST, Origin};
use super::report::{Example, MigrationReport, Problem};

/// Repairs shown in the report.
const MAX_EXAMPLES: usize = 10;

/// Repairs what can be, and adds to the report.
pub fn repair(classic: &mut Classic, encoding: Encoding, report: &mut MigrationReport) {
    let mut evidence = Evidence::default();
    each_text(classic, &mut |text| evidence.add(&misread::origin(text)));
    let mut repairer = Repairer { verdict: evidence.verdict(encoding), encoding, report };
    repairer.accounts(classic);
    repairer.groups(classic);
    repairer.messages(&mut classic.offline);
}

fn each_text(classic: &Classic, look: &mut impl FnMut(&str)) {
    classic.users.iter().for_each(|user| [&user.name, &user.password].into_iter().for_each(|text| look(text)));
    classic.groups.iter().for_each(|group| [&group.name, &group.description].into_iter().for_each(|text| look(text)));
    classic.offline.iter().for_each(|row| look(&row.message));
}

struct Repairer<'a> {
    verdict: Verdict,
    encoding: Encoding,
    report: &'a mut MigrationReport,
}

/// Where a text stands.
struct Place {
    table: &'static str,
    column: &'static str,
    row: String,
}

/// What became of a text.
enum Repaired {
    No,
    Whole(String),
    /// With characters lost.
    Part(String),
}

impl Repairer<'_> {
    fn accounts(&mut self, classic: &mut Classic) {
        for user in &mut classic.users {
            let place = |column| Place { table: "user", column, row: format!("id {}", user.id) };
            self.text(&place("name"), &mut user.name);
            match self.look(&place("password"), &user.password, Secrecy::Hidden) {
                Repaired::No => {}
                Repaired::Whole(meant) => {
                    self.report.repaired += 1;
                    user.password = meant;
                }
                // A guess at the lost bytes would be a password that nobody set.
                Repaired::Part(_) => {
                    self.report.unrepaired += 1;
                    let why = "was taken for GBK and bytes of it are lost: nobody can log in until it is set anew";
                    self.problem(&place("password"), why);
                }
            }
        }
    }

    fn groups(&mut self, classic: &mut Classic) {
        for group in &mut classic.groups {
            let place = |column| Place { table: "allgroup", column, row: format!("id {}", group.id) };
            self.text(&place("groupname"), &mut group.name);
            self.text(&place("groupdesc"), &mut group.description);
        }
    }

    fn messages(&mut self, rows: &mut [Offline]) {
        for row in rows.iter_mut() {
            let place = message_place(row.user);
            match self.look(&place, &row.message, Secrecy::Shown) {
                Repaired::No => {}
                Repaired::Whole(meant) => self.took(&place, &mut row.message, meant, 0),
                Repaired::Part(meant) => {
                    // MySQL takes the quote at the end of a text for the other half of an odd byte.
                    let readable = |text: &String| is_readable(text);
                    let quoted = || misread::with_lost_quotes(&row.message).filter(readable);
                    let meant = Some(meant.clone()).filter(readable).or_else(quoted).unwrap_or(meant);
                    let lost = meant.chars().filter(|character| *character == LOST).count();
                    self.took(&place, &mut row.message, meant, lost);
                }
            }
        }
        self.backslashes(rows);
    }

    /// A server that loses backslashes loses all of them: rows that still are JSON then hold texts as they stand too.
    fn backslashes(&mut self, rows: &mut [Offline]) {
        let lost = rows.iter().any(|row| !is_whole(&row.message) && is_readable(&row.message));
        let kept = rows.iter().any(|row| row.message.contains("\\\"") && is_whole(&row.message));
        for row in rows {
            let whole = is_whole(&row.message);
            if whole && !(lost && !kept && row.message.contains('\\')) {
                continue;
            }
            let place = message_place(row.user);
            match backslashes::read(trimmed(&row.message)) {
                Literal::Object(json) => {
                    self.example(&place, &row.message, &json);
                    self.report.unescaped += 1;
                    row.message = json;
                }
                Literal::Ambiguous if whole => {
                    self.problem(&place, "its backslashes may be part of the text or not; taken over as JSON has it");
                }
                // The plan says why it is not taken over.
                Literal::Ambiguous | Literal::Unreadable => {}
            }
        }
    }

    fn text(&mut self, place: &Place, text: &mut String) {
        match self.look(place, text, Secrecy::Shown) {
            Repaired::No => {}
            Repaired::Whole(meant) => self.took(place, text, meant, 0),
            Repaired::Part(meant) => {
                let lost = meant.chars().filter(|character| *character == LOST).count();
                self.took(place, text, meant, lost);
            }
        }
    }

    fn took(&mut self, place: &Place, text: &mut String, meant: String, lost: usize) {
        self.example(place, text, &meant);
        if lost == 0 {
            self.report.repaired += 1;
        } else {
            self.report.repaired_in_part += 1;
            let lost = if lost == 1 { "1 character is".into() } else { format!("{lost} characters are") };
            self.problem(place, &format!("{text:?} was taken for GBK and {lost} lost; taken over as {meant:?}"));
        }
        *text = meant;
    }

    fn look(&mut self, place: &Place, stored: &str, secrecy: Secrecy) -> Repaired {
        let Origin::Misread(misread) = misread::origin(stored) else { return Repaired::No };
        if self.verdict.repairs(&misread) {
            return if misread.lost == 0 { Repaired::Whole(misread.meant) } else { Repaired::Part(misread.meant) };
        }
        // What only might be misread is ordinary Chinese where nothing else is.
        let suspect = misread.convincing || self.verdict != Verdict::Nothing;
        if suspect && self.encoding != Encoding::Utf8 {
            self.report.unrepaired += 1;
            let why = match misread.kept {
                0 => "may have been taken for GBK, and too little of it is left; taken over as it is",
                _ => "may have been taken for GBK; taken over as it is (--encoding gbk repairs it)",
            };
            let subject = if secrecy == Secrecy::Shown { format!("{stored:?} ") } else { String::new() };
            self.problem(place, &format!("{subject}{why}"));
        }
        Repaired::No
    }

    fn example(&mut self, place: &Place, before: &str, after: &str) {
        if self.report.examples.len() < MAX_EXAMPLES {
            let Place { table, column, row } = place;
            let place = format!("{table}.{column}, {row}");
            self.report.examples.push(Example { place, before: before.into(), after: after.into() });
        }
    }

    fn problem(&mut self, place: &Place, reason: &str) {
        let row = format!("{}, {}", place.row, place.column);
        self.report.problems.push(Problem { table: place.table, row, reason: reason.into() });
    }
}

/// Whether a text may stand in the report.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Shown,
    Hidden,
}

fn message_place(user: i64) -> Place {
    Place { table: "offlinemessage", column: "message", row: format!("userid {user}") }
}

/// C++ servers may have stored what follows the end of a C string as well.
fn trimmed(text: &str) -> &str {
    text.trim_end_matches('\0')
}

fn is_whole(text: &str) -> bool {
    backslashes::is_whole(trimmed(text))
}

fn is_readable(text: &str) -> bool {
    is_whole(text) || matches!(backslashes::read(trimmed(text)), Literal::Object(_))
}

#[cfg(test)]
mod tests;

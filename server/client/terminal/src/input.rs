//! Where typed lines come from: a terminal with line editing, or plain lines of standard input.
//!
//! Reading blocks, so a thread does it, one line when asked. While a terminal is being read, output goes through
//! rustyline's external printer, which puts it above the line that is being typed.

use crate::line::COMMANDS;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper};
use std::borrow::Cow;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc as blocking};
use tokio::sync::mpsc;

/// Lines kept in the history file; beyond it the oldest go.
const HISTORY_LINES: usize = 1_000;

/// What completion offers: shared with the task that learns names.
pub type Names = Arc<Mutex<Vec<String>>>;

/// What the reading thread is asked for.
enum Ask {
    Line(String),
    Password(String),
}

/// Typed lines, one when asked for.
pub struct Input {
    asks: blocking::Sender<Ask>,
    lines: mpsc::Receiver<Option<String>>,
    /// A line was asked for and has not come yet.
    asked: bool,
}

/// Where text for the person goes.
pub struct Output {
    printer: Box<dyn ExternalPrinter + Send>,
}

struct Stdout;

impl ExternalPrinter for Stdout {
    fn print(&mut self, text: String) -> rustyline::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

impl Output {
    /// Prints one or more whole lines. A terminal that is gone is noticed by whoever reads it.
    pub fn line(&mut self, text: &str) {
        let _ = self.printer.print(format!("{text}\n"));
    }
}

impl Input {
    /// Opens the terminal, or standard input if that is none.
    pub fn open(terminal: bool, names: Names) -> anyhow::Result<(Input, Output)> {
        let (asks, asked) = blocking::channel();
        let (answers, lines) = mpsc::channel(1);
        let output = if terminal {
            let mut editor = editor(names)?;
            let printer = editor.create_external_printer()?;
            std::thread::spawn(move || read_terminal(editor, &asked, &answers));
            Output { printer: Box::new(printer) }
        } else {
            std::thread::spawn(move || read_lines(&asked, &answers));
            Output { printer: Box::new(Stdout) }
        };
        Ok((Input { asks, lines, asked: false }, output))
    }

    /// The next line; `None` at the end of the input, or when the person gives up (Ctrl-C, Ctrl-D). Can be cancelled:
    /// the next call gets the line.
    pub async fn line(&mut self, prompt: &str) -> Option<String> {
        self.ask(Ask::Line(prompt.to_owned())).await
    }

    /// A line that is not shown and not remembered. `None` as for [`Input::line`].
    pub async fn password(&mut self, prompt: &str) -> Option<String> {
        self.ask(Ask::Password(prompt.to_owned())).await
    }

    async fn ask(&mut self, ask: Ask) -> Option<String> {
        if !self.asked {
            self.asks.send(ask).ok()?;
            self.asked = true;
        }
        let line = self.lines.recv().await.flatten();
        self.asked = false;
        line
    }
}

fn read_lines(asks: &blocking::Receiver<Ask>, answers: &mpsc::Sender<Option<String>>) {
    while asks.recv().is_ok() {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let line = matches!(read, Ok(count) if count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned());
        if answers.blocking_send(line).is_err() {
            return;
        }
    }
}

type ChatEditor = Editor<Typing, FileHistory>;

fn editor(names: Names) -> rustyline::Result<ChatEditor> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        // The highlighter only hides passwords, which must happen without colours, too.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = ChatEditor::with_config(config)?;
    editor.set_helper(Some(Typing { names, hidden: false }));
    if let Some(path) = history_path() {
        // The first time there is none.
        let _ = editor.load_history(&path);
    }
    Ok(editor)
}

fn read_terminal(mut editor: ChatEditor, asks: &blocking::Receiver<Ask>, answers: &mpsc::Sender<Option<String>>) {
    while let Ok(ask) = asks.recv() {
        let (prompt, hidden) = match &ask {
            Ask::Line(prompt) => (prompt, false),
            Ask::Password(prompt) => (prompt, true),
        };
        if let Some(typing) = editor.helper_mut() {
            typing.hidden = hidden;
        }
        let line = editor.readline(prompt).ok();
        if let Some(line) = line.as_ref().filter(|line| !hidden && !line.trim().is_empty()) {
            let _ = editor.add_history_entry(line.as_str());
            save_history(&mut editor);
        }
        if answers.blocking_send(line).is_err() {
            return;
        }
    }
}

/// History is a convenience: where it cannot be kept, nothing is said about it.
fn save_history(editor: &mut ChatEditor) {
    if let Some(path) = history_path()
        && let Some(folder) = path.parent()
        && std::fs::create_dir_all(folder).is_ok()
    {
        let _ = editor.append_history(&path);
    }
}

/// `$XDG_STATE_HOME/chat-client/history`, by default under `~/.local/state`.
fn history_path() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("chat-client").join("history"))
}

struct Typing {
    names: Names,
    /// A password is being typed.
    hidden: bool,
}

impl Helper for Typing {}

impl Validator for Typing {}

impl Hinter for Typing {
    type Hint = String;
}

impl Highlighter for Typing {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if self.hidden { Cow::Owned(" ".repeat(line.chars().count())) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        self.hidden && kind != CmdKind::MoveCursor
    }
}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.hidden {
            return Ok((pos, Vec::new()));
        }
        let names = self.names.lock().map(|names| names.clone()).unwrap_or_default();
        let (start, found) = complete(line.get(..pos).unwrap_or(line), &names);
        Ok((start, found.into_iter().map(|text| Pair { display: text.clone(), replacement: text + " " }).collect()))
    }
}

/// Completes what is typed so far: where the completed part starts, and what it can become.
fn complete(typed: &str, names: &[String]) -> (usize, Vec<String>) {
    let Some(command) = typed.strip_prefix('/') else {
        return (typed.len(), Vec::new());
    };
    let Some((command, argument)) = command.split_once(' ') else {
        let matching = COMMANDS.iter().filter(|(name, ..)| name.starts_with(command));
        return (0, matching.map(|(name, ..)| format!("/{name}")).collect());
    };
    let one_word = command == "msg";
    if !matches!(command, "msg" | "to" | "add" | "remove" | "leave" | "history")
        || (one_word && argument.ends_with(' '))
    {
        return (typed.len(), Vec::new());
    }
    let begun = argument.replace('"', "");
    let matching = names.iter().filter(|name| name.starts_with(&begun));
    let quoted = |name: &String| match name.strip_prefix('#') {
        _ if !one_word || !name.contains(' ') => name.clone(),
        Some(group) => format!("#\"{group}\""),
        None => format!("\"{name}\""),
    };
    (typed.len() - argument.len(), matching.map(quoted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_names_complete() {
        let names = ["bob", "bea", "Ann Lee", "#tea club"].map(String::from);
        let check = |typed: &str, start: usize, expected: &[&str]| {
            let (at, found) = complete(typed, &names);
            assert_eq!((at, found), (start, expected.iter().map(|text| text.to_string()).collect()), "{typed:?}");
        };
        check("/reg", 0, &["/register"]);
        check("/l", 0, &["/login", "/logout", "/leave"]);
        check("/to b", 4, &["bob", "bea"]);
        check("/to Ann", 4, &["Ann Lee"]);
        check("/msg \"Ann", 5, &["\"Ann Lee\""]);
        check("/msg #t", 5, &["#\"tea club\""]);
        check("/msg bob ", 9, &[]);
        check("hello b", 7, &[]);
        check("/help x", 7, &[]);
    }
}

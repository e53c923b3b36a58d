//! `chat-server migrate`: takes over the database of a classic chat server.

use anyhow::{Context, ensure};
use chat::auth::password::PasswordHasher;
use chat::config::{Config, MIGRATE_FROM};
use chat::storage::migrate::{self, MigrationReport};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "Users keep their ids; their plaintext passwords become argon2id hashes. Friendships become \
mutual; offline messages wait for their recipients. The classic database is only read; all or nothing is written.\n\n\
Everybody on the machine sees command lines (ps): give a URL with a password by --from-file, or in the variable \
CHAT_MIGRATE_FROM.\n\nMany classic servers had MySQL take their clients' UTF-8 for GBK, which stores 张三 as 寮犱笁, and \
passwords alike. That is recognised and repaired, as is JSON that lost its backslashes; --dry-run shows what would \
happen.")]
pub struct Arguments {
    /// The classic database: mysql://user:password@host:port/database
    #[arg(long, value_name = "URL", conflicts_with = "from_file")]
    from: Option<String>,
    /// File that holds its URL and nothing else [default: the variable CHAT_MIGRATE_FROM]
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// How texts got into it: to be found out, as they are, or as UTF-8 over a connection set to GBK
    #[arg(long, value_enum, default_value_t)]
    encoding: Encoding,
    /// Only say what would happen, with examples, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Configuration file (TOML) whose database.url is the empty database to fill [default: the SQLite file chat.db]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Encoding {
    #[default]
    Auto,
    Utf8,
    Gbk,
}

impl From<Encoding> for migrate::Encoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Auto => migrate::Encoding::Auto,
            Encoding::Utf8 => migrate::Encoding::Utf8,
            Encoding::Gbk => migrate::Encoding::Gbk,
        }
    }
}

impl Arguments {
    /// The URL of the classic database; `variable` is what the environment says.
    fn source(&self, variable: Option<String>) -> anyhow::Result<String> {
        let url = match (&self.from, &self.from_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => {
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
            }
            (None, None) => variable.with_context(|| {
                format!("which database? Give its URL by --from or --from-file, or in the variable {MIGRATE_FROM}")
            })?,
        };
        let url = url.trim();
        ensure!(!url.is_empty(), "the URL of the classic database is empty");
        Ok(url.to_owned())
    }
}

pub async fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let source = arguments.source(std::env::var(MIGRATE_FROM).ok())?;
    let encoding = arguments.encoding.into();
    if arguments.dry_run {
        let timeout = Duration::from_millis(config.database.timeout_ms);
        show(&migrate::preview(encoding, &source, timeout).await?, Mood::Would);
        return Ok(());
    }
    let hasher = PasswordHasher::new(&config.password)?;
    let style = ProgressStyle::with_template("hashing passwords {wide_bar} {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::no_length().with_style(style);
    let hash = Arc::new(move |password: &str| hasher.hash_blocking(password));
    let progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let report = migrate::migrate_as(encoding, &source, &config.database, hash, &progress).await?;
    bar.finish_and_clear();
    show(&report, Mood::Did);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Did,
    Would,
}

fn show(report: &MigrationReport, mood: Mood) {
    for renamed in &report.renamed {
        eprintln!("{renamed}");
    }
    for problem in &report.problems {
        eprintln!("problem: {problem}");
    }
    for example in &report.examples {
        eprintln!("repaired, for example: {example}");
    }
    println!("{}", summary(report, mood));
}

fn summary(report: &MigrationReport, mood: Mood) -> String {
    let (renamed, problems) = (report.renamed.len(), report.problems.len());
    let mut text = format!(
        "{} {} users, {} friendships, {} groups with {} members and {} waiting messages; {renamed} renamed, \
         {problems} problems",
        if mood == Mood::Did { "took over" } else { "would take over" },
        report.users,
        report.friendships,
        report.groups,
        report.group_members,
        report.messages
    );
    for (count, what) in [
        (report.repaired, "texts repaired that had been taken for GBK"),
        (report.repaired_in_part, "more repaired only in part"),
        (report.unrepaired, "left as they are that may have been"),
        (report.unescaped, "messages repaired that had lost their backslashes"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    if mood == Mood::Would {
        text.push_str("; nothing has been written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        migrate: Arguments,
    }

    fn source(arguments: &[&str], variable: Option<&str>) -> Result<String, String> {
        let line = Line::try_parse_from([&["migrate"], arguments].concat()).map_err(|error| error.to_string())?;
        line.migrate.source(variable.map(str::to_owned)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn url_comes_from_the_command_line_a_file_or_the_environment() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("url");
        std::fs::write(&file, "mysql://file/chat\n").expect("it can be written");
        let file = file.to_str().expect("a path in UTF-8");

        assert_eq!(
            source(&["--from", "mysql://line/chat"], Some("mysql://variable/chat")),
            Ok("mysql://line/chat".into())
        );
        assert_eq!(source(&["--from-file", file], Some("mysql://variable/chat")), Ok("mysql://file/chat".into()));
        assert_eq!(source(&[], Some("mysql://variable/chat")), Ok("mysql://variable/chat".into()));
    }

    #[test]
    fn url_that_is_missing_empty_unreadable_or_given_twice_is_refused() {
        let refused = |arguments: &[&str], variable, reason: &str| {
            let error = source(arguments, variable).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        };
        refused(&[], None, MIGRATE_FROM);
        refused(&[], Some(" "), "empty");
        refused(&["--from-file", "/does/not/exist"], Some("x"), "/does/not/exist");
        refused(&["--from", "x", "--from-file", "y"], None, "cannot be used with");
        refused(&["--encoding", "big5"], None, "auto, utf8, gbk");
    }

    #[test]
    fn summary_says_what_was_done_or_would_be() {
        let report = MigrationReport { users: 3, repaired: 2, unescaped: 1, ..Default::default() };
        assert_eq!(
            summary(&report, Mood::Would),
            "would take over 3 users, 0 friendships, 0 groups with 0 members and 0 waiting messages; 0 renamed, \
             0 problems; 2 texts repaired that had been taken for GBK; 1 messages repaired that had lost their \
             backslashes; nothing has been written"
        );
        assert!(summary(&MigrationReport::default(), Mood::Did).ends_with("0 renamed, 0 problems"));
    }
}

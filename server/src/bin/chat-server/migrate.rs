//! `chat-server migrate`: takes over the database of a classic chat server.

use chat::config::Config;
use chat::password::PasswordHasher;
use chat::storage::migrate::migrate;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(clap::Args)]
#[command(after_help = "Users keep their ids; their plaintext passwords become argon2id hashes. Friendships become \
mutual; offline messages wait for their recipients. The classic database is only read; all or nothing is written.")]
pub struct Arguments {
    /// The classic database: mysql://user:password@host:port/database
    #[arg(long, value_name = "URL")]
    from: String,
    /// Configuration file (TOML) whose database.url is the empty database to fill [default: the SQLite file chat.db]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

pub async fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let hasher = PasswordHasher::new(&config.password)?;
    let style = ProgressStyle::with_template("hashing passwords {wide_bar} {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::no_length().with_style(style);
    let hash = Arc::new(move |password: &str| hasher.hash_blocking(password));
    let progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let report = migrate(&arguments.from, &config.database, hash, &progress).await?;
    bar.finish_and_clear();
    for renamed in &report.renamed {
        eprintln!("{renamed}");
    }
    for problem in &report.problems {
        eprintln!("not taken over: {problem}");
    }
    let (renamed, problems) = (report.renamed.len(), report.problems.len());
    println!(
        "took over {} users, {} friendships, {} groups with {} members and {} waiting messages; \
         {renamed} renamed, {problems} rows not taken over",
        report.users, report.friendships, report.groups, report.group_members, report.messages
    );
    Ok(())
}

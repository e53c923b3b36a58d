//! Where stories are told: a cluster of its own for each.

use anyhow::{Context, Result};
use clap::Args;
use harness::cluster::Setup;
use harness::containers::{Builder, Containers, Flavour};
use harness::fault::{self, Fault};
use harness::story::Story;
use harness::users::Conclusion;
use judge::Verdict;
use loadgen::measure::quote;

/// How large the stage is.
#[derive(Args)]
pub struct Stage {
    /// How many people take part, in circles of five friends
    #[arg(long, default_value_t = 50)]
    pub users: usize,
    /// How many nodes, from 1 to 200
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Nodes remove what everybody has received, but for the newest 20 messages of each conversation; some people are
    /// away until the end, and some read HISTORY
    #[arg(long)]
    short_logs: bool,
    #[command(flatten)]
    pub services: Services,
}

/// What nodes are to have below them.
#[derive(Args, Default)]
pub struct Services {
    /// MariaDB instead of MySQL
    #[arg(long, conflicts_with_all = ["galera", "group_replication"])]
    mariadb: bool,
    /// Instead of one database, a Galera cluster of that many MariaDB servers, from 1 to 9
    #[arg(long, value_name = "MEMBERS", conflicts_with = "group_replication")]
    galera: Option<usize>,
    /// Instead of one database, a replication group of that many MySQL servers, from 1 to 9
    #[arg(long, value_name = "MEMBERS")]
    group_replication: Option<usize>,
    /// An option for each database server, as in innodb-buffer-pool-size=1G; repeatable
    #[arg(long = "database-set", value_name = "OPTION=VALUE", value_parser = setting)]
    database_options: Vec<(String, String)>,
    /// How many Redis, from 1 to 9
    #[arg(long, default_value_t = 1)]
    buses: usize,
}

/// A setting as it is written on a command line.
pub fn setting(text: &str) -> Result<(String, String)> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .with_context(|| format!("expected a name, then =, then a value, not {text:?}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Services {
    pub fn below(&self, setup: Setup) -> Setup {
        let flavour = match (self.galera, self.group_replication) {
            (Some(members), _) => Flavour::Galera(members),
            (None, Some(members)) => Flavour::GroupReplication(members),
            (None, None) if self.mariadb => Flavour::Mariadb,
            (None, None) => Flavour::Mysql,
        };
        setup.database(flavour).buses(self.buses)
    }

    /// The builder with an option for each `--database-set`.
    pub fn with_options(&self, builder: Builder) -> Builder {
        let options = self.database_options.iter();
        options.fold(builder, |builder, (option, value)| builder.database_option(option, value))
    }

    fn flags(&self) -> String {
        let mut flags = if self.mariadb { " --mariadb".to_owned() } else { String::new() };
        if let Some(members) = self.galera {
            flags += &format!(" --galera {members}");
        }
        if let Some(members) = self.group_replication {
            flags += &format!(" --group-replication {members}");
        }
        for (option, value) in &self.database_options {
            flags += &format!(" --database-set {}", quote(&format!("{option}={value}")));
        }
        if self.buses != 1 {
            flags += &format!(" --buses {}", self.buses);
        }
        flags
    }
}

impl Stage {
    pub fn setup(&self) -> Setup {
        let setup = self.services.below(Setup::nodes(self.nodes));
        if self.short_logs { setup.short_logs() } else { setup }
    }

    /// A cluster that has what these faults take.
    pub fn builder<'f>(&self, faults: impl IntoIterator<Item = &'f Fault>) -> Builder {
        self.services.with_options(Containers::builder(fault::prepare(self.setup(), faults)))
    }

    /// The flags that ask for it.
    pub fn flags(&self) -> String {
        let Stage { users, nodes, short_logs, services } = self;
        let short_logs = if *short_logs { " --short-logs" } else { "" };
        format!("--users {users} --nodes {nodes}{short_logs}{}", services.flags())
    }

    /// Starts a cluster, has a story told on it, and removes it; where the verdict is not `valid`, what tells why is
    /// kept, with the command that tells it again, which is asked for in the end.
    ///
    /// # Errors
    /// If the cluster does not start, or the story comes to no end.
    pub async fn tell(
        &self,
        builder: Builder,
        command: impl FnOnce() -> String,
        tell: impl AsyncFnOnce(Story<'_>) -> Result<Conclusion>,
    ) -> Result<Conclusion> {
        let cluster = builder.start().await?;
        let story = Story::on(&*cluster).users(self.users);
        let told = tell(if self.short_logs { story.with_short_logs() } else { story }).await;
        // Whatever becomes of the rest, the verdict counts.
        if !is_valid(&told) {
            match cluster.keep_evidence(&command()).await {
                Ok(kept) => eprintln!("harness: histories, logs and configurations are in {}", kept.display()),
                Err(error) => eprintln!("harness: cannot keep what tells why: {error:#}"),
            }
        }
        if let Err(error) = cluster.stop().await {
            eprintln!("harness: {error:#}; the reaper tries again when this process ends");
        }
        told
    }
}

pub fn is_valid(told: &Result<Conclusion>) -> bool {
    told.as_ref().is_ok_and(|conclusion| conclusion.verdict() == Verdict::Valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_needs_a_name() {
        for text in ["", "1G", "=1G"] {
            let refused = setting(text).expect_err("it has no name");
            assert_eq!(refused.to_string(), format!("expected a name, then =, then a value, not {text:?}"));
        }
    }

    #[test]
    fn setting_ends_its_name_at_the_first_equals_sign() {
        for (text, name, value) in [("size=1G", "size", "1G"), ("mode=", "mode", ""), ("mode=a=b", "mode", "a=b")] {
            assert_eq!(setting(text).expect("it has a name"), (name.to_owned(), value.to_owned()));
        }
    }

    #[test]
    fn flags_can_be_pasted_into_a_shell() {
        let database_options = ["size=1G", "mode=a b", "name=it's"].map(|text| setting(text).expect("it has a name"));
        let services =
            Services { galera: Some(3), database_options: database_options.into(), buses: 1, ..Services::default() };
        let expected = r" --galera 3 --database-set size=1G --database-set 'mode=a b' --database-set 'name=it'\''s'";
        assert_eq!(services.flags(), expected);
    }
}

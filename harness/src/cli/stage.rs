//! Where stories are told: a cluster of its own for each.

use anyhow::Result;
use clap::Args;
use harness::cluster::Setup;
use harness::containers::{Builder, Containers, Flavour};
use harness::fault::{self, Fault};
use harness::story::Story;
use harness::users::Conclusion;
use judge::Verdict;

/// How large the stage is.
#[derive(Args)]
pub struct Stage {
    /// How many people take part, in circles of five friends
    #[arg(long, default_value_t = 50)]
    pub users: usize,
    /// How many nodes, from 1 to 200
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    #[command(flatten)]
    pub services: Services,
}

/// What nodes are to have below them.
#[derive(Args, Default)]
pub struct Services {
    /// MariaDB instead of MySQL
    #[arg(long, conflicts_with = "galera")]
    mariadb: bool,
    /// So many MariaDB servers that replicate to each other, instead of one database, from 1 to 9
    #[arg(long, value_name = "MEMBERS")]
    galera: Option<usize>,
    /// How many Redis, from 1 to 9
    #[arg(long, default_value_t = 1)]
    buses: usize,
}

impl Services {
    pub fn below(&self, setup: Setup) -> Setup {
        let flavour = match self.galera {
            Some(members) => Flavour::Galera(members),
            None if self.mariadb => Flavour::Mariadb,
            None => Flavour::Mysql,
        };
        setup.database(flavour).buses(self.buses)
    }

    fn flags(&self) -> String {
        let mut flags = if self.mariadb { " --mariadb".to_owned() } else { String::new() };
        if let Some(members) = self.galera {
            flags += &format!(" --galera {members}");
        }
        if self.buses != 1 {
            flags += &format!(" --buses {}", self.buses);
        }
        flags
    }
}

impl Stage {
    pub fn setup(&self) -> Setup {
        self.services.below(Setup::nodes(self.nodes))
    }

    /// A cluster that has what these faults take.
    pub fn builder<'f>(&self, faults: impl IntoIterator<Item = &'f Fault>) -> Builder {
        Containers::builder(fault::prepare(self.setup(), faults))
    }

    /// The flags that ask for it.
    pub fn flags(&self) -> String {
        let Stage { users, nodes, services } = self;
        format!("--users {users} --nodes {nodes}{}", services.flags())
    }

    /// Starts a cluster, has a story told on it, and removes it; where the verdict is not `valid`, what tells why is
    /// kept, with the command that tells it again.
    ///
    /// # Errors
    /// If the cluster does not start, or the story comes to no end.
    pub async fn tell(
        &self,
        builder: Builder,
        command: &str,
        tell: impl AsyncFnOnce(Story<'_>) -> Result<Conclusion>,
    ) -> Result<Conclusion> {
        let cluster = builder.start().await?;
        let told = tell(Story::on(&*cluster).users(self.users)).await;
        // Whatever becomes of the rest, the verdict counts.
        if !is_valid(&told) {
            match cluster.keep_evidence(command).await {
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

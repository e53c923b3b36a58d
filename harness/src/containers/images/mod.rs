//! Where the images of a cluster come from.
//!
//! Tried in this order, and the first that is there is taken: the one that a variable names (`CHAT_MYSQL_IMAGE` and the
//! like), the official one if this machine has it, the stand-in that `ci/images/build` makes if this machine has it,
//! the official one from the registry, the stand-in built now. So a machine without a registry builds once, and a
//! machine with one never does.

mod archive;
mod disk;
mod node;
mod standin;

pub(crate) use archive::archive;
pub use node::{node, remove_all};

use super::docker::is_missing;
use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use std::time::Duration;
use strum::{Display, IntoStaticStr, VariantArray};
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::CreateImageOptionsBuilder;
use tokio::time::timeout;

/// A registry that has said nothing for this long is out of reach.
const REGISTRY_SILENCE: Duration = Duration::from_secs(5);

/// What an image is needed for.
#[derive(Clone, Copy, Debug, Display, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Part {
    Mysql,
    Mariadb,
    Galera,
    Redis,
    Nginx,
}

impl Part {
    fn name(self) -> &'static str {
        self.into()
    }

    /// `None`: there is none that a member could be made of, and start again from where it was.
    fn official(self) -> Option<&'static str> {
        match self {
            Part::Mysql => Some("mysql:8.4"),
            Part::Mariadb => Some("mariadb:11.4"),
            Part::Galera => None,
            Part::Redis => Some("redis:7"),
            Part::Nginx => Some("nginx:1.28"),
        }
    }

    fn variable(self) -> String {
        format!("CHAT_{}_IMAGE", self.name().to_uppercase())
    }
}

/// The name of an image that is there.
///
/// # Errors
/// If the one a variable names is not there and cannot be pulled, or if nothing worked; says what was tried.
pub async fn acquire(docker: &Docker, part: Part) -> Result<String> {
    let variable = part.variable();
    if let Ok(image) = std::env::var(&variable)
        && !image.is_empty()
    {
        return named(docker, &variable, image).await;
    }
    let Some(official) = part.official() else { return stand_in_alone(docker, part).await };
    if is_there(docker, official).await? {
        return Ok(official.into());
    }
    let stand_in = standin::tag(part).await?;
    if is_there(docker, &stand_in).await? {
        return Ok(stand_in);
    }
    let Err(unpulled) = pull(docker, official).await else {
        return Ok(official.into());
    };
    eprintln!("harness: {official} is not there and cannot be pulled ({unpulled:#}): building a stand-in");
    let built = standin::build(part).await;
    built.with_context(|| {
        format!(
            "there is no image for {part}: tried {official} and {stand_in} on this machine, to pull {official} \
             ({unpulled:#}), and to build it with ci/images/build; {variable} can name another"
        )
    })?;
    Ok(stand_in)
}

async fn stand_in_alone(docker: &Docker, part: Part) -> Result<String> {
    let stand_in = standin::tag(part).await?;
    if !is_there(docker, &stand_in).await? {
        standin::build(part).await.with_context(|| format!("there is no image for {part}: {stand_in} is not built"))?;
    }
    Ok(stand_in)
}

async fn named(docker: &Docker, variable: &str, image: String) -> Result<String> {
    if !is_there(docker, &image).await? {
        let pulled = pull(docker, &image).await;
        pulled.with_context(|| {
            format!("{variable} names {image}, which is not on this machine and cannot be pulled: correct or unset it")
        })?;
    }
    Ok(image)
}

pub(crate) async fn is_there(docker: &Docker, image: &str) -> Result<bool> {
    match docker.inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look for the image {image}")),
    }
}

/// Pulls an image as long as the registry says something.
async fn pull(docker: &Docker, image: &str) -> Result<()> {
    // Without a tag all of them would be pulled.
    let has_tag = image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let whole = if has_tag { image.to_owned() } else { format!("{image}:latest") };
    let options = CreateImageOptionsBuilder::default().from_image(&whole).build();
    let mut progress = docker.create_image(Some(options), None, None);
    let mut is_announced = false;
    loop {
        match timeout(REGISTRY_SILENCE, progress.try_next()).await {
            Err(_) => bail!("the registry says nothing"),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(_))) => {
                if !std::mem::replace(&mut is_announced, true) {
                    eprintln!("harness: pulling {whole}");
                }
            }
            Ok(Err(error)) => return Err(error.into()),
        }
    }
}

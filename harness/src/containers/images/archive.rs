//! Tar archives in memory, which is how files get into containers and images.

use anyhow::Result;
use tokio_tar::{Builder, Header};

/// An archive of the files: path without the leading `/`, content, mode.
pub(crate) async fn archive(files: &[(&str, &[u8], u32)]) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for &(path, content, mode) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        builder.append_data(&mut header, path, content).await?;
    }
    Ok(builder.into_inner().await?)
}

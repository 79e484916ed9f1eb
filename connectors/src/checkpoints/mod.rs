//! Where a job's checkpoints lie, by the path or URL that a user gives.

#[cfg(feature = "object-store")]
mod object;

#[cfg(all(test, feature = "object-store"))]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_core::{Error, Result};
use tailwater_state::store::{Caching, CheckpointStore, DirectoryStore, RealDisk};

#[cfg(feature = "object-store")]
pub use object::ObjectStore;

/// The store at a path or URL: a directory, made if need be, `file:///path`, `s3://bucket/prefix`
/// (with the usual variables: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT` and so on) or
/// `memory://` for trials.
///
/// # Errors
/// When the directory cannot be made, or the URL is none that this program knows.
pub fn create_store(place: &str) -> Result<Arc<dyn CheckpointStore>> {
    match path_of(place) {
        Some(path) => Ok(Arc::new(DirectoryStore::create(RealDisk::default(), path)?)),
        None => object_store(place),
    }
}

/// The store at a path or URL, for reading what is there.
///
/// # Errors
/// When there is no such directory, or the URL is none that this program knows.
pub fn existing_store(place: &str) -> Result<Arc<dyn CheckpointStore>> {
    let Some(path) = path_of(place) else { return object_store(place) };
    if !path.is_dir() {
        let path = path.display();
        return Err(Error::configuration(format!("there is no directory `{path}`")));
    }
    Ok(Arc::new(DirectoryStore::at(RealDisk::default(), path)))
}

/// A line for the user where checkpoints will not be written past the page cache.
pub fn caching_note(place: &str) -> Option<String> {
    let path = path_of(place)?;
    let caching = RealDisk::default().probe(&path).ok()?;
    (caching == Caching::Buffered).then(|| {
        let path = path.display();
        format!("checkpoints in `{path}` go through the page cache: no direct writes there")
    })
}

/// The path in a place that is a directory.
fn path_of(place: &str) -> Option<PathBuf> {
    match place.strip_prefix("file://") {
        Some(path) => Some(path.into()),
        None => (!place.contains("://")).then(|| Path::new(place).to_owned()),
    }
}

#[cfg(feature = "object-store")]
fn object_store(url: &str) -> Result<Arc<dyn CheckpointStore>> {
    ObjectStore::at(url).map(|store| Arc::new(store) as _)
}

#[cfg(not(feature = "object-store"))]
fn object_store(url: &str) -> Result<Arc<dyn CheckpointStore>> {
    Err(Error::configuration(format!(
        "`{url}` is an object store, and this program was built without them: build it with the \
         feature `object-store`"
    )))
}

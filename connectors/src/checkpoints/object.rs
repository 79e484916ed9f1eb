//! Checkpoints in an object store: a small file is one request, a large one an upload in parts.

use std::fmt;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore as Objects, ObjectStoreExt};
use tailwater_core::{Error, ErrorKind, Result};
use tailwater_state::store::{CheckpointStore, Listed, NewFile, StoredFile};
use tokio::runtime::{Builder, Runtime};

/// Bytes of a part of an upload; S3 takes at least 5 MiB and at most 10,000 parts, so that a file
/// may have 80 GB.
const PART_BYTES: usize = 8 << 20;
/// Bytes of a read: a request takes tens of milliseconds, whatever it brings.
const READ_BYTES: u64 = 8 << 20;

/// A place in an object store.
#[derive(Clone)]
pub struct ObjectStore {
    objects: Arc<dyn Objects>,
    prefix: Path,
    url: String,
    /// Requests run on the thread that makes them.
    runtime: Arc<Runtime>,
}

impl ObjectStore {
    /// The place at a URL: `s3://bucket/prefix` or `memory://`.
    ///
    /// # Errors
    /// When it is no such URL, or the environment lacks what S3 needs.
    pub fn at(url: &str) -> Result<Self> {
        let explain = |cause| failed(format!("cannot use `{url}`"), cause);
        if let Some(prefix) = url.strip_prefix("memory://") {
            return Self::new(Arc::new(InMemory::new()), prefix, url);
        }
        let Some((_, prefix)) =
            url.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        else {
            return Err(Error::configuration(format!(
                "`{url}` is no place for checkpoints: give a directory, `file:///path`, \
                 `s3://bucket/prefix` or `memory://`"
            )));
        };
        // The first that is installed stays; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut s3 = AmazonS3Builder::from_env().with_url(url);
        // Who names an endpoint without TLS means it: a store of one's own, most likely.
        let endpoint = s3.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
            s3 = s3.with_allow_http(true);
        }
        let s3 = s3.build().map_err(explain)?;
        Self::new(Arc::new(s3), prefix, url)
    }

    /// A place in any object store, called `url` in messages.
    ///
    /// # Errors
    /// When `prefix` is no path, or the machine refuses what requests need.
    pub fn new(objects: Arc<dyn Objects>, prefix: &str, url: &str) -> Result<Self> {
        let prefix = Path::parse(prefix.trim_matches('/')).map_err(|cause| {
            Error::configuration(format!("`{prefix}` is no path in a store")).caused_by(cause)
        })?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| Error::io(format!("cannot use `{url}`"), cause))?;
        Ok(Self { objects, prefix, url: url.to_owned(), runtime: Arc::new(runtime) })
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    fn wait<T>(
        &self,
        what: &str,
        name: &str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let done = self.runtime.block_on(request);
        done.map_err(|cause| failed(format!("cannot {what} `{name}` in `{}`", self.url), cause))
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectStore").field(&self.url).finish()
    }
}

fn failed(what: String, cause: object_store::Error) -> Error {
    Error::new(ErrorKind::Io, what).caused_by(cause)
}

impl CheckpointStore for ObjectStore {
    fn describe(&self) -> String {
        self.url.clone()
    }

    fn begin(&self, name: &str) -> Result<Box<dyn NewFile>> {
        let (store, name) = (self.clone(), name.to_owned());
        Ok(Box::new(Upload { store, name, buffer: Vec::new(), parts: None }))
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let listed = self.wait("list", "", self.objects.list_with_delimiter(prefix))?;
        let files = listed.objects.iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some(Listed { name, len: object.size })
        });
        let mut files: Vec<_> = files.collect();
        files.sort();
        Ok(files)
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn StoredFile>>> {
        let path = self.path(name);
        match self.runtime.block_on(self.objects.head(&path)) {
            Ok(found) => Ok(Some(Arc::new(Object { store: self.clone(), path, len: found.size }))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(failed(format!("cannot open `{name}` in `{}`", self.url), cause)),
        }
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.runtime.block_on(self.objects.delete(&path)) {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(cause) => Err(failed(format!("cannot delete `{name}` in `{}`", self.url), cause)),
        }
    }

    /// An upload that was not completed is no file; stores remove its parts by rules of their own.
    fn clear_unfinished(&self) -> Result<()> {
        Ok(())
    }
}

/// A file on its way.
struct Upload {
    store: ObjectStore,
    name: String,
    buffer: Vec<u8>,
    /// Begun when there is more than a part.
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    fn send(&mut self) -> Result<()> {
        let Self { store, name, buffer, parts } = self;
        let parts = match parts {
            Some(parts) => parts,
            None => {
                let path = store.path(name);
                let begun = store.objects.put_multipart(&path);
                parts.insert(store.wait("create", name, begun)?)
            }
        };
        let part = std::mem::take(buffer);
        store.wait("write", name, parts.put_part(part.into()))
    }
}

impl NewFile for Upload {
    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == PART_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.parts.is_some() && !self.buffer.is_empty() {
            self.send()?;
        }
        let Self { store, name, buffer, parts } = &mut *self;
        match parts {
            Some(upload) => {
                store.wait("finish", name, upload.complete())?;
                // It is complete: there is nothing to give up when this is dropped.
                *parts = None;
            }
            None => {
                let path = store.path(name);
                let whole = std::mem::take(buffer);
                store.wait("write", name, store.objects.put(&path, whole.into()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // What cannot be given up now the store removes by its own rules.
            let _ = self.store.runtime.block_on(parts.abort());
        }
    }
}

struct Object {
    store: ObjectStore,
    path: Path,
    len: u64,
}

impl StoredFile for Object {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_len(&self) -> u64 {
        READ_BYTES
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        if into.is_empty() {
            return Ok(());
        }
        let range = offset..offset + into.len() as u64;
        let name = self.path.as_ref();
        let read =
            self.store.wait("read", name, self.store.objects.get_range(&self.path, range))?;
        if read.len() != into.len() {
            return Err(Error::format(format!(
                "`{name}` ends before byte {offset} and what follows"
            )));
        }
        into.copy_from_slice(&read);
        Ok(())
    }
}

//! The manifest: the small file that makes segments a checkpoint, written last.

use tailwater_core::key::KeyGroups;
use tailwater_core::{Error, Result};

use super::cursor::{Cursor, put_blob, u32_at, u64_at};
use super::layout::{FORMAT_VERSION, check_version, is_intact};
use super::names;
use super::segment_writer::SegmentRef;
use crate::snapshot::Spread;
use crate::store::CheckpointStore;

const MAGIC: &[u8; 8] = b"TWMANIFS";
const HEADER: usize = 32;
/// A manifest is at most so long: what is larger belongs into segments.
const LEN_MAX: u64 = 256 << 20;
/// More cores than any machine has; a damaged number must not reserve memory.
const CORES_MAX: u32 = 1 << 16;

/// All that a checkpoint is, but for the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The job's name.
    pub job: String,
    /// The checkpoint's number; later ones have greater ones.
    pub checkpoint: u64,
    /// When its barrier was sent: nanoseconds since 1970.
    pub time_ns: i64,
    /// The job's max parallelism.
    pub key_groups: u32,
    /// The cores that wrote it.
    pub cores: u32,
    /// What is in it, in no order.
    pub states: Vec<StateEntry>,
    /// The chain: the oldest first. The last is this checkpoint's own and holds its values.
    pub segments: Vec<SegmentRef>,
    /// What sinks prepared, to be committed again after a restore.
    pub transactions: Vec<Transaction>,
}

/// A type as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSchema {
    /// What the type looks like.
    pub text: String,
    /// A hash of the text, by which types are compared.
    pub fingerprint: u64,
    /// The version that its owner gave it.
    pub version: u32,
}

/// A state of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// Whose it is.
    pub operator: String,
    /// Its name, unique in its operator.
    pub state: String,
    /// What sort of state it is.
    pub sort: StateSort,
    /// The first checkpoint that holds entries of it: what older segments hold under its name
    /// belongs to a state that was given up.
    pub since: u64,
}

/// What sort of state it is, and what its entries are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateSort {
    /// Entries by key, incremental.
    Tracked {
        /// What keys are.
        key: StoredSchema,
        /// What values are.
        value: StoredSchema,
        /// Whether keys begin with a namespace.
        namespaced: bool,
    },
    /// Items of each core, whole.
    List {
        /// How they are spread over cores at a restore.
        spread: Spread,
        /// What an item is.
        item: StoredSchema,
    },
}

/// What a sink prepared on one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The sink's operator name.
    pub sink: String,
    /// The core.
    pub core: u32,
    /// What only the sink understands.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.body();
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let into = &mut body;
        put_blob(into, self.job.as_bytes());
        into.extend_from_slice(&self.checkpoint.to_le_bytes());
        into.extend_from_slice(&self.time_ns.to_le_bytes());
        into.extend_from_slice(&self.key_groups.to_le_bytes());
        into.extend_from_slice(&self.cores.to_le_bytes());
        into.extend_from_slice(&(self.states.len() as u32).to_le_bytes());
        self.states.iter().for_each(|state| put_state(into, state));
        into.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        for segment in &self.segments {
            put_blob(into, segment.name.as_bytes());
            into.extend_from_slice(&segment.len.to_le_bytes());
            into.extend_from_slice(&segment.index_crc.to_le_bytes());
            into.extend_from_slice(&segment.first.to_le_bytes());
            into.extend_from_slice(&segment.last.to_le_bytes());
            into.push(segment.is_full.into());
        }
        into.extend_from_slice(&(self.transactions.len() as u32).to_le_bytes());
        for transaction in &self.transactions {
            put_blob(into, transaction.sink.as_bytes());
            into.extend_from_slice(&transaction.core.to_le_bytes());
            put_blob(into, &transaction.bytes);
        }
        body
    }

    /// Reads a manifest's bytes. A version that this program does not know is of kind
    /// `Configuration`, damage of kind `Format`.
    ///
    /// # Errors
    /// See above.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < HEADER {
            return Err(Error::format(format!("it is cut off at byte {}", bytes.len())));
        }
        let (header, body) = bytes.split_at(HEADER);
        if &header[..8] != MAGIC {
            return Err(Error::format("it does not begin as a manifest does (byte 0)"));
        }
        if !is_intact(crc32c::crc32c(&header[..28]), u32_at(header, 28)) {
            return Err(Error::format("the checksum of its header is wrong (byte 28)"));
        }
        check_version(u32_at(header, 8))?;
        if u64_at(header, 16) != body.len() as u64 {
            let (meant, is) = (u64_at(header, 16), body.len());
            return Err(Error::format(format!("it is cut off: {is} of {meant} bytes are there")));
        }
        if !is_intact(crc32c::crc32c(body), u32_at(header, 24)) {
            return Err(Error::format("its checksum is wrong (byte 24)"));
        }
        Self::parse_body(&mut Cursor::new(body))
    }

    fn parse_body(body: &mut Cursor<'_>) -> Result<Self> {
        let (job, checkpoint) = (body.text()?.to_owned(), body.u64()?);
        let (time_ns, key_groups, cores) = (body.i64()?, body.u32()?, body.u32()?);
        let states = (0..body.count(14)?).map(|_| state(body)).collect::<Result<Vec<_>>>()?;
        let segments = (0..body.count(33)?).map(|_| segment(body)).collect::<Result<Vec<_>>>()?;
        let transactions = (0..body.count(12)?).map(|_| {
            let (sink, core) = (body.text()?.to_owned(), body.u32()?);
            Ok(Transaction { sink, core, bytes: body.blob()?.to_vec() })
        });
        let transactions = transactions.collect::<Result<Vec<_>>>()?;
        if !body.is_at_end() {
            return Err(Error::format(format!("something follows its end at byte {}", body.at())));
        }
        let manifest =
            Self { job, checkpoint, time_ns, key_groups, cores, states, segments, transactions };
        manifest.check()?;
        Ok(manifest)
    }

    /// What readers rely on.
    fn check(&self) -> Result<()> {
        let continues = self.segments.windows(2).all(|pair| pair[0].last < pair[1].first);
        let complete = self.segments.first().is_some_and(|first| first.is_full)
            && self.segments.last().is_some_and(|last| last.last == self.checkpoint);
        if !continues || !complete {
            return Err(Error::format("its segments are no chain"));
        }
        if !(1..=CORES_MAX).contains(&self.cores)
            || !(1..=KeyGroups::MAX).contains(&self.key_groups)
        {
            let (cores, groups) = (self.cores, self.key_groups);
            return Err(Error::format(format!(
                "it cannot have {cores} cores, {groups} key groups"
            )));
        }
        Ok(())
    }

    /// Writes it; with this the checkpoint is complete.
    pub(crate) fn put(&self, store: &dyn CheckpointStore) -> Result<()> {
        store.put(&names::manifest(self.checkpoint), &self.to_bytes())
    }

    /// Reads that of a checkpoint.
    ///
    /// # Errors
    /// Of kind `Format` when it is missing or damaged, `Configuration` when its version is unknown,
    /// and else when the store refuses.
    pub fn read(store: &dyn CheckpointStore, checkpoint: u64) -> Result<Self> {
        let name = names::manifest(checkpoint);
        let Some(file) = store.open(&name)? else {
            let place = store.describe();
            return Err(Error::format(format!("there is no checkpoint {checkpoint} in `{place}`")));
        };
        let explain = |cause: Error| cause.context(format!("cannot use `{name}`"));
        if file.len() > LEN_MAX {
            return Err(explain(Error::format(format!("it has {} bytes", file.len()))));
        }
        let mut bytes = vec![0; file.len() as usize];
        file.read_at(0, &mut bytes)?;
        let manifest = Self::parse(&bytes).map_err(explain)?;
        if manifest.checkpoint != checkpoint {
            let other = manifest.checkpoint;
            return Err(explain(Error::format(format!("it is that of checkpoint {other}"))));
        }
        Ok(manifest)
    }

    /// The state of this name.
    pub fn state(&self, operator: &str, state: &str) -> Option<&StateEntry> {
        self.states.iter().find(|entry| entry.operator == operator && entry.state == state)
    }

    /// Bytes of all segments.
    pub fn segments_len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }
}

fn put_schema(into: &mut Vec<u8>, schema: &StoredSchema) {
    put_blob(into, schema.text.as_bytes());
    into.extend_from_slice(&schema.fingerprint.to_le_bytes());
    into.extend_from_slice(&schema.version.to_le_bytes());
}

fn schema(body: &mut Cursor<'_>) -> Result<StoredSchema> {
    let text = body.text()?.to_owned();
    Ok(StoredSchema { text, fingerprint: body.u64()?, version: body.u32()? })
}

fn put_state(into: &mut Vec<u8>, entry: &StateEntry) {
    put_blob(into, entry.operator.as_bytes());
    put_blob(into, entry.state.as_bytes());
    into.extend_from_slice(&entry.since.to_le_bytes());
    match &entry.sort {
        StateSort::Tracked { key, value, namespaced } => {
            into.extend_from_slice(&[1, u8::from(*namespaced)]);
            put_schema(into, key);
            put_schema(into, value);
        }
        StateSort::List { spread, item } => {
            let spread = match spread {
                Spread::Split => 0,
                Spread::Union => 1,
                Spread::Broadcast => 2,
            };
            into.extend_from_slice(&[2, spread]);
            put_schema(into, item);
        }
    }
}

fn state(body: &mut Cursor<'_>) -> Result<StateEntry> {
    let (operator, state) = (body.text()?.to_owned(), body.text()?.to_owned());
    let since = body.u64()?;
    let at = body.at();
    let sort = match (body.u8()?, body.u8()?) {
        (1, flag @ (0 | 1)) => {
            let (key, value) = (schema(body)?, schema(body)?);
            StateSort::Tracked { key, value, namespaced: flag == 1 }
        }
        (2, spread @ 0..=2) => {
            let spread = [Spread::Split, Spread::Union, Spread::Broadcast][usize::from(spread)];
            StateSort::List { spread, item: schema(body)? }
        }
        _ => return Err(Error::format(format!("an unknown sort of state at byte {at}"))),
    };
    Ok(StateEntry { operator, state, sort, since })
}

fn segment(body: &mut Cursor<'_>) -> Result<SegmentRef> {
    Ok(SegmentRef {
        name: body.text()?.to_owned(),
        len: body.u64()?,
        index_crc: body.u32()?,
        first: body.u64()?,
        last: body.u64()?,
        is_full: body.u8()? != 0,
    })
}

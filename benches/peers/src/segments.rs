//! Segments of a checkpoint, as far as a loop without an engine needs them: upserts of 8-byte keys
//! and values of up to 32 bytes. Nothing is validated but what keeps the loop on its way.
//!
//! ```text
//! segment | header, multiple of 64 | block | block | ... | index | footer 64 |
//! header  | "TWSEGMNT" | version u32 | len u32 | 20 | key_groups u32 at 36 | ...
//! block   | header 64 | payload | padding to 64 |
//!           "TWBK" .. payload_len u32 at 24 .. kind u8 at 42, groups u16 at 44 (low) and 46 (high)
//! payload of upserts (kind 1): frames, each
//!         | value_len u32 | key_len u16 | group u16 | key, padded to 8 | value, padded to 8 |
//! footer  | "TWSEGEND" | index_offset u64 | ...
//! ```

use crate::state_update::{VALUE_LEN, Value};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

const SEGMENT_MAGIC: &[u8; 8] = b"TWSEGMNT";
const BLOCK_MAGIC: &[u8; 4] = b"TWBK";
const FOOTER_MAGIC: &[u8; 8] = b"TWSEGEND";
const FORMAT_VERSION: u32 = 1;
/// The length of a header and of the footer; parts begin at multiples of it.
const UNIT: usize = 64;
/// More than the engine puts into a header: a job's name is in it.
const HEADER_LEN_MAX: usize = 8 << 10;
/// What the engine allows in a block.
const PAYLOAD_LEN_MAX: usize = 1 << 30;
const UPSERTS: u8 = 1;
const VALUES: u8 = 3;

/// A made segment has blocks of about this length, as the engine's have.
const MADE_PAYLOAD_LEN: usize = 64 << 10;
const MADE_KEY_GROUPS: u64 = 128;
/// Key groups in a block of a made segment.
const MADE_GROUPS_A_BLOCK: u64 = 2;

/// An upsert: a key and the place of its value in the block.
#[derive(Clone, Copy)]
pub struct Upsert {
    /// The key.
    pub key: u64,
    value: Range32,
}

#[derive(Clone, Copy)]
struct Range32 {
    start: u32,
    len: u32,
}

impl Upsert {
    /// Its value, read from the payload; what a short value lacks is zeros.
    #[inline(always)]
    pub fn value(&self, payload: &[u8]) -> Value {
        let (start, len) = (self.value.start as usize, self.value.len as usize);
        let mut bytes = [0; VALUE_LEN];
        if len == VALUE_LEN {
            bytes.copy_from_slice(&payload[start..start + VALUE_LEN]);
        } else {
            bytes[..len].copy_from_slice(&payload[start..start + len]);
        }
        Value::from_bytes(&bytes).expect("the length is that of a value")
    }
}

/// The segments of a directory, the oldest first: the order of their names.
pub fn in_dir(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("segment-") && name.ends_with(".tw") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(wrong(format!("{} has no segments", dir.display())));
    }
    paths.sort();
    Ok(paths)
}

/// Reads all upserts of one share of the key groups, block after block; returns the bytes read.
///
/// Of `shares`, share `i` has the key groups `i * key_groups / shares` and on.
pub fn read(
    path: &Path,
    share: u64,
    shares: u64,
    mut block: impl FnMut(&[u8], &[Upsert]),
) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut footer = [0; UNIT];
    file.seek(SeekFrom::End(-(UNIT as i64)))?;
    file.read_exact(&mut footer)?;
    let mut header = [0; UNIT];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut header)?;
    let len = u32_at(&header, 12) as usize;
    let is_segment = header.starts_with(SEGMENT_MAGIC) && footer.starts_with(FOOTER_MAGIC);
    if !is_segment || u32_at(&header, 8) != FORMAT_VERSION || len > HEADER_LEN_MAX {
        return Err(wrong(format!("{} is no segment of version 1", path.display())));
    }
    let key_groups = u64::from(u32_at(&header, 36));
    let mine = share * key_groups / shares..(share + 1) * key_groups / shares;
    let end = u64::from_le_bytes(footer[8..16].try_into().expect("eight bytes"));
    let (mut at, mut bytes) = (len as u64, 2 * UNIT as u64);
    let (mut payload, mut upserts) = (Vec::new(), Vec::new());
    while at < end {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let len = u32_at(&header, 24) as usize;
        if !header.starts_with(BLOCK_MAGIC) || len > PAYLOAD_LEN_MAX {
            return Err(wrong(format!("{} has no block at byte {at}", path.display())));
        }
        let groups = u64::from(u16_at(&header, 44))..u64::from(u16_at(&header, 46)) + 1;
        let concerns = groups.start < mine.end && groups.end > mine.start;
        match header[42] {
            UPSERTS if concerns => {
                payload.resize(len, 0);
                file.read_exact(&mut payload)?;
                upserts.clear();
                parse(&payload, &mine, &mut upserts)
                    .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
                block(&payload, &upserts);
                bytes += (UNIT + len) as u64;
            }
            UPSERTS | VALUES => {}
            _ => return Err(wrong(format!("{}: it has deletions", path.display()))),
        }
        at += (UNIT + len.next_multiple_of(UNIT)) as u64;
    }
    Ok(bytes)
}

/// Frames of the given key groups.
fn parse(payload: &[u8], mine: &Range<u64>, into: &mut Vec<Upsert>) -> io::Result<()> {
    let mut at = 0;
    while at < payload.len() {
        let frame = payload.get(at..at + 16).ok_or_else(|| wrong("a frame is cut off"))?;
        let (value_len, key_len) = (u32_at(frame, 0) as usize, u16_at(frame, 4));
        let start = at + 16;
        let end = start + value_len.next_multiple_of(8);
        if key_len != 8 || value_len > VALUE_LEN || end > payload.len() {
            return Err(wrong(format!("a key of {key_len} bytes, a value of {value_len}")));
        }
        if mine.contains(&u64::from(u16_at(frame, 6))) {
            let key = u64::from_le_bytes(frame[8..].try_into().expect("eight bytes"));
            let value = Range32 { start: start as u32, len: value_len as u32 };
            into.push(Upsert { key, value });
        }
        at = end;
    }
    Ok(())
}

/// Makes a segment of the keys `0..keys`, as one full checkpoint of the engine would have them:
/// key groups in blocks of their own, keys within them in no order. Its checksums are zeros.
pub fn make(path: &Path, keys: u64, value: impl Fn(u64) -> Value) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut header = [0; UNIT];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&(UNIT as u32).to_le_bytes());
    header[36..40].copy_from_slice(&(MADE_KEY_GROUPS as u32).to_le_bytes());
    file.write_all(&header)?;
    let mut at = UNIT as u64;
    let blocks = MADE_KEY_GROUPS / MADE_GROUPS_A_BLOCK;
    let mut payloads = vec![Vec::new(); blocks as usize];
    for i in 0..keys {
        let key = scattered(i, keys);
        let group = crate::workloads::mix(key) % MADE_KEY_GROUPS;
        let index = (group / MADE_GROUPS_A_BLOCK) as usize;
        let payload: &mut Vec<u8> = &mut payloads[index];
        payload.extend_from_slice(&(VALUE_LEN as u32).to_le_bytes());
        payload.extend_from_slice(&8u16.to_le_bytes());
        payload.extend_from_slice(&(group as u16).to_le_bytes());
        payload.extend_from_slice(&key.to_le_bytes());
        payload.extend_from_slice(&value(key).to_bytes());
        if payload.len() >= MADE_PAYLOAD_LEN {
            at += write_block(&mut file, index as u64, payload)?;
            payload.clear();
        }
    }
    for (index, payload) in (0..).zip(&payloads) {
        at += write_block(&mut file, index, payload)?;
    }
    let mut footer = [0; UNIT];
    footer[..8].copy_from_slice(FOOTER_MAGIC);
    footer[8..16].copy_from_slice(&at.to_le_bytes());
    file.write_all(&footer)?;
    file.flush()
}

/// Each number below `keys` for one `i` below `keys`, far from that of the next `i`.
fn scattered(i: u64, keys: u64) -> u64 {
    /// A prime above all numbers of keys that fit into memory, so that it divides none.
    const STEP: u64 = 2_147_483_647;
    (u128::from(i) * u128::from(STEP) % u128::from(keys)) as u64
}

fn write_block(file: &mut impl Write, index: u64, payload: &[u8]) -> io::Result<u64> {
    if payload.is_empty() {
        return Ok(0);
    }
    let low = (index * MADE_GROUPS_A_BLOCK) as u16;
    let mut header = [0; UNIT];
    header[..4].copy_from_slice(BLOCK_MAGIC);
    header[24..28].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[42] = UPSERTS;
    header[44..46].copy_from_slice(&low.to_le_bytes());
    header[46..48].copy_from_slice(&(low + MADE_GROUPS_A_BLOCK as u16 - 1).to_le_bytes());
    file.write_all(&header)?;
    file.write_all(payload)?;
    let padding = payload.len().next_multiple_of(UNIT) - payload.len();
    file.write_all(&[0; UNIT][..padding])?;
    Ok((UNIT + payload.len() + padding) as u64)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn wrong(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_made_segment_has_each_key_in_one_share() {
        let dir = std::env::temp_dir().join(format!("peers-segments-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let value = |key| {
            let mut value = Value::default();
            value.update(key);
            value
        };
        make(&dir.join("segment-00000001.tw"), 10_000, value).expect("a segment");
        let paths = in_dir(&dir).expect("the segment");
        let mut found = BTreeMap::new();
        for share in 0..2 {
            let before = found.len();
            read(&paths[0], share, 2, |payload, upserts| {
                for upsert in upserts {
                    assert_eq!(found.insert(upsert.key, upsert.value(payload)), None);
                }
            })
            .expect("it can be read");
            assert!(found.len() > before + 4_000, "the shares are about equal");
        }
        std::fs::remove_dir_all(&dir).expect("it can be removed");
        assert_eq!(found, (0..10_000).map(|key| (key, value(key))).collect());
    }

    #[test]
    fn frames_that_the_loop_does_not_know_are_refused() {
        let mut payload = vec![0; 48];
        payload[..4].copy_from_slice(&0xFFFF_FFFFu32.to_le_bytes());
        payload[4] = 8;
        assert!(parse(&payload, &(0..128), &mut Vec::new()).is_err());
        assert!(parse(&[0; 12], &(0..128), &mut Vec::new()).is_err());
    }
}

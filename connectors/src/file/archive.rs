//! Opens a file whatever it is packed with: gzip, zstd and xz are told by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tailwater_core::{Error, Result};

/// Packed bytes are read in blocks of this size: large enough for sequential disk speed.
const BLOCK_BYTES: usize = 128 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
    Xz,
}

impl Packing {
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1F, 0x8B, ..] => Self::Gzip,
            // A frame, or one of the sixteen kinds of skippable frame that may lead a file.
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstd,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }
}

/// The unpacked bytes of a file; errors name the file and where it went wrong.
pub struct Archive {
    path: PathBuf,
    packing: Packing,
    reader: Box<dyn Read + Send>,
    packed_bytes: Arc<AtomicU64>,
    unpacked_bytes: u64,
}

impl Archive {
    /// Opens a file and finds out how it is packed.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |cause| Error::io(format!("cannot read `{}`", path.display()), cause);
        let packed_bytes = Arc::new(AtomicU64::new(0));
        let file = Counted { file: File::open(path).map_err(refuse)?, bytes: packed_bytes.clone() };
        let mut file = BufReader::with_capacity(BLOCK_BYTES, file);
        let packing = Packing::of(file.fill_buf().map_err(refuse)?);
        let reader: Box<dyn Read + Send> = match packing {
            Packing::None => Box::new(file),
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Packing::Zstd => Box::new(zstd::Decoder::with_buffer(file).map_err(refuse)?),
            Packing::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        };
        Ok(Self { path: path.to_owned(), packing, reader, packed_bytes, unpacked_bytes: 0 })
    }

    /// Opens a file that is not packed, to read it from `offset` on.
    ///
    /// # Errors
    /// When the file cannot be read, is packed, or is shorter.
    pub fn open_at(path: &Path, offset: u64) -> Result<Self> {
        let archive = Self::open(path)?;
        let shown = path.display();
        if archive.packing != Packing::None {
            return Err(Error::configuration(format!(
                "`{shown}` was not packed when the checkpoint was taken, and now it is: restore \
                 with the same file"
            )));
        }
        let refuse = |cause| Error::io(format!("cannot read `{shown}`"), cause);
        let mut file = File::open(path).map_err(refuse)?;
        let len = file.metadata().map_err(refuse)?.len();
        if len < offset {
            return Err(Error::configuration(format!(
                "the checkpoint has read `{shown}` up to offset {offset}, but it has only {len} \
                 bytes: restore with the same file"
            )));
        }
        file.seek(SeekFrom::Start(offset)).map_err(refuse)?;
        let file = Counted { file, bytes: archive.packed_bytes.clone() };
        let reader = Box::new(BufReader::with_capacity(BLOCK_BYTES, file));
        Ok(Self { reader, unpacked_bytes: offset, ..archive })
    }

    /// Whether the file's bytes are those that are read, so that it can be opened at any of them.
    pub fn is_plain(&self) -> bool {
        self.packing == Packing::None && self.path.is_file()
    }

    /// Reads as much as fits or there is just now; zero at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or ends in the middle of its archive.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(into) {
                Ok(read) => {
                    self.unpacked_bytes += read as u64;
                    return Ok(read);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.error(cause)),
            }
        }
    }

    #[cold]
    fn error(&self, cause: io::Error) -> Error {
        let (path, packing) = (self.path.display(), self.packing.name());
        let (packed, unpacked) = (self.packed_bytes.load(Relaxed), self.unpacked_bytes);
        if self.packing == Packing::None {
            return Error::io(format!("cannot read `{path}` at offset {unpacked}"), cause);
        }
        let message = if cause.kind() == io::ErrorKind::UnexpectedEof {
            format!(
                "the {packing} archive `{path}` is truncated: it ends at byte {packed}, after \
                 {unpacked} unpacked bytes; fetch it again"
            )
        } else {
            format!(
                "the {packing} archive `{path}` is damaged within its first {packed} bytes, after \
                 {unpacked} unpacked bytes; fetch it again"
            )
        };
        Error::format(message).caused_by(cause)
    }
}

/// A file that counts the bytes read from it, for messages.
struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.bytes.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut archive = Archive::open(file.path())?;
        let mut all = Vec::new();
        let mut block = [0; 1000];
        loop {
            match archive.read(&mut block)? {
                0 => return Ok(all),
                read => all.extend_from_slice(&block[..read]),
            }
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(content: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn content() -> Vec<u8> {
        (0..20_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    }

    #[test]
    fn every_packing_is_told_by_its_content() {
        let content = content();
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        for packed in [content.clone(), gzip(&content), zstd, xz(&content)] {
            assert_eq!(unpack(&packed).unwrap(), content);
        }
        assert_eq!(unpack(b"").unwrap(), b"");
    }

    #[test]
    fn an_archive_may_have_several_members() {
        let twice = |once: Vec<u8>| [once.clone(), once].concat();
        for packed in [
            twice(gzip(b"one ")),
            twice(zstd::encode_all(&b"one "[..], 1).unwrap()),
            twice(xz(b"one ")),
        ] {
            assert_eq!(unpack(&packed).unwrap(), b"one one ");
        }
    }

    #[test]
    fn a_truncated_archive_says_where_it_ends() {
        let content = content();
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        for packed in [gzip(&content), zstd, xz(&content)] {
            let cut = packed.len() - 1000;
            let message = unpack(&packed[..cut]).unwrap_err().to_string();
            assert!(message.contains("is truncated"), "{message}");
            assert!(message.contains(&format!("ends at byte {cut}")), "{message}");
        }
    }

    #[test]
    fn a_damaged_archive_is_not_called_truncated() {
        let mut packed = gzip(&content());
        let middle = packed.len() / 2;
        packed[middle..middle + 64].fill(0xFF);
        let message = unpack(&packed).unwrap_err().to_string();
        assert!(message.contains("is damaged"), "{message}");
    }
}

//! Compressed bodies: `Content-Encoding` gzip, deflate and zstd.
//!
//! The server's own decompression is not used. It looks at the size of a body after it has decompressed a chunk, so a
//! small body can ask for a lot of memory; it passes encodings it does not know on as they are; and it takes a stream
//! that was cut off for a whole one.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

/// Largest window of a zstd stream, as a power of two: 8 MiB, what RFC 9659 allows for HTTP.
const MAX_WINDOW_LOG: u32 = 23;
/// What is allocated before anything is decompressed, as a multiple of the compressed size.
const USUAL_RATIO: usize = 8;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950: what HTTP calls deflate is a zlib stream.
    Deflate,
    /// RFC 8878.
    Zstd,
}

/// Why a body cannot be decompressed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    #[error("content-encoding is \"{0}\", send one of identity, gzip, deflate, zstd")]
    Unknown(String),
    #[error("the body is not a whole {0} stream: {1}")]
    Damaged(&'static str, String),
    #[error("the body has more than the {0} bytes that are allowed, decompressed")]
    TooLarge(usize),
}

impl Encoding {
    /// Of the header's value; no header is [`Identity`](Self::Identity).
    ///
    /// # Errors
    /// [`EncodingError::Unknown`], also for several encodings on top of each other.
    pub fn of_header(value: &str) -> Result<Self, EncodingError> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(EncodingError::Unknown(value.to_owned())),
        }
    }

    /// The body as its sender had it. Of a body that would grow beyond `max_bytes`, no more than that is decompressed.
    ///
    /// # Errors
    /// [`EncodingError::Damaged`] also for a stream that is cut off, or followed by something else.
    pub fn decompress(self, body: &Bytes, max_bytes: usize) -> Result<Bytes, EncodingError> {
        let damaged = |e: io::Error| EncodingError::Damaged(self.name(), e.to_string().to_ascii_lowercase());
        match self {
            Self::Identity => Ok(body.clone()),
            Self::Gzip => read(MultiGzDecoder::new(&body[..]), body.len(), max_bytes, damaged),
            Self::Deflate => {
                let mut decoder = ZlibDecoder::new(&body[..]);
                let whole = read(&mut decoder, body.len(), max_bytes, damaged)?;
                if decoder.total_in() < body.len() as u64 {
                    return Err(EncodingError::Damaged(self.name(), "something follows it".to_owned()));
                }
                Ok(whole)
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(&body[..]).map_err(damaged)?;
                decoder.window_log_max(MAX_WINDOW_LOG).map_err(damaged)?;
                read(decoder, body.len(), max_bytes, damaged)
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

fn read(
    decoder: impl Read,
    compressed_bytes: usize,
    max_bytes: usize,
    damaged: impl Fn(io::Error) -> EncodingError,
) -> Result<Bytes, EncodingError> {
    let usual_bytes = compressed_bytes.saturating_mul(USUAL_RATIO);
    let mut whole = Vec::with_capacity(usual_bytes.min(max_bytes));
    // One byte more than is allowed tells too much from just enough.
    decoder.take(max_bytes as u64 + 1).read_to_end(&mut whole).map_err(damaged)?;
    if whole.len() > max_bytes { Err(EncodingError::TooLarge(max_bytes)) } else { Ok(whole.into()) }
}

#[cfg(test)]
mod tests;

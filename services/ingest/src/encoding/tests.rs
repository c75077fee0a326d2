use std::io::Write;

use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

use super::*;

const MAX: usize = 1 << 20;
const COMPRESSED: [Encoding; 3] = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

fn compress(encoding: Encoding, content: &[u8]) -> Bytes {
    let compressed = match encoding {
        Encoding::Identity => content.to_vec(),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Zstd => zstd::encode_all(content, 3).unwrap(),
    };
    compressed.into()
}

/// Text that compresses, but not to nothing.
fn text(n_bytes: usize) -> Vec<u8> {
    (0..n_bytes).map(|i| b"abcdefghijklmnop"[(i * i / 7) % 16]).collect()
}

#[test]
fn every_encoding_gives_back_what_went_in() {
    for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
        for content in [text(0), text(1), text(300_000)] {
            let body = compress(encoding, &content);
            assert_eq!(encoding.decompress(&body, MAX).unwrap(), content, "{encoding:?}");
        }
    }
}

#[test]
fn streams_behind_each_other_are_one_body_where_the_format_says_so() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let body = [compress(encoding, b"one "), compress(encoding, b"two")].concat();
        assert_eq!(encoding.decompress(&body.into(), MAX).unwrap(), "one two");
    }
}

#[test]
fn the_limit_counts_decompressed_bytes_and_is_exact() {
    for encoding in COMPRESSED {
        let body = compress(encoding, &text(1_000));
        assert!(encoding.decompress(&body, 1_000).is_ok());
        assert_eq!(encoding.decompress(&body, 999).unwrap_err(), EncodingError::TooLarge(999));
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let zeros = vec![0; 512 << 20];
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let bomb = compress(encoding, &zeros);
        assert!(bomb.len() < 1 << 20, "it fits into a request: {} bytes", bomb.len());
        assert_eq!(encoding.decompress(&bomb, MAX).unwrap_err(), EncodingError::TooLarge(MAX));
    }
}

#[test]
fn a_stream_that_is_cut_off_is_damaged_wherever_it_ends() {
    for encoding in COMPRESSED {
        let body = compress(encoding, &text(5_000));
        for end in [1, body.len() / 2, body.len() - 1] {
            let error = encoding.decompress(&body.slice(..end), MAX).unwrap_err();
            assert!(matches!(error, EncodingError::Damaged(..)), "{encoding:?} to {end}: {error:?}");
        }
    }
}

#[test]
fn a_flipped_byte_or_something_behind_the_stream_is_noticed() {
    for encoding in [Encoding::Gzip, Encoding::Deflate] {
        let body = compress(encoding, &text(5_000));
        let mut flipped = body.to_vec();
        flipped[body.len() / 2] ^= 0x10;
        assert!(encoding.decompress(&flipped.into(), MAX).is_err(), "{encoding:?}");
    }
    for encoding in COMPRESSED {
        let followed = [&compress(encoding, b"{}")[..], b"garbage"].concat();
        let error = encoding.decompress(&followed.into(), MAX).unwrap_err();
        assert!(matches!(error, EncodingError::Damaged(..)), "{encoding:?}: {error:?}");
    }
}

#[test]
fn an_unknown_encoding_is_answered_with_the_known_ones() {
    assert_eq!(Encoding::of_header(" GZIP "), Ok(Encoding::Gzip));
    assert_eq!(Encoding::of_header(""), Ok(Encoding::Identity));
    let error = Encoding::of_header("br").unwrap_err().to_string();
    assert!(error.contains("\"br\"") && error.contains("gzip, deflate, zstd"), "{error}");
    assert!(Encoding::of_header("gzip, gzip").is_err());
}

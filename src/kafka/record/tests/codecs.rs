//! The codecs: what goes in comes out, and no more than was allowed.

use super::super::compression::{self, decompress};
use super::super::fuzz;
use super::*;

const CODECS: &[Compression] = &[Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Compresses with room for whatever comes of it.
fn compress(codec: Compression, input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut packed = Vec::with_capacity(2 * input.len() + 200);
    assert!(compression::compress(codec, input, &mut packed)?);
    Ok(packed)
}

#[test]
fn what_does_not_fit_is_said_and_takes_no_memory() {
    for &codec in CODECS {
        let room = compress(codec, &text(100_000)).unwrap().len();
        let mut packed = Vec::with_capacity(room);
        assert!(compression::compress(codec, &text(100_000), &mut packed).unwrap(), "{codec}");
        let mut packed = Vec::with_capacity(room - 1);
        let capacity = packed.capacity();
        let fits = compression::compress(codec, &text(100_000), &mut packed).unwrap();
        assert_eq!((fits, packed.capacity()), (capacity >= room, capacity), "{codec}");
    }
}
const MIB: usize = 1 << 20;
const LIMIT: Limits = Limits { bytes: MIB, ratio: 1024 };

fn unpacked(codec: Compression, input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = b"before, and what is left of something else".to_vec();
    let start = 6;
    let done = decompress(codec, input, LIMIT, &mut out, start);
    assert!(out.capacity() <= MIB + 64, "{} bytes taken", out.capacity());
    assert_eq!(&out[..6], b"before");
    if done.is_err() {
        assert_eq!(out.len(), 6, "output of broken input");
    }
    done.map(|()| out.split_off(6))
}

/// Text that is neither random nor all the same.
fn text(size: usize) -> Vec<u8> {
    (0..size).map(|index| b"records, records and more records"[index * index / 97 % 33]).collect()
}

proptest! {
    #[test]
    fn any_bytes_survive_every_codec(blocks in vec((vec(any::<u8>(), 1..200), 1usize..300), 0..20)) {
        let input: Vec<u8> = blocks.into_iter().flat_map(|(block, times)| block.repeat(times)).take(MIB).collect();
        for &codec in CODECS {
            let packed = compress(codec, &input).unwrap();
            prop_assert_eq!(&unpacked(codec, &packed).unwrap(), &input, "{}", codec);
        }
    }

    #[test]
    fn flipped_bytes_are_survived(
        size in 1usize..3000,
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for &codec in CODECS {
            let mut packed = compress(codec, &text(size)).unwrap();
            for (index, byte) in &flips {
                let at = index.index(packed.len());
                packed[at] = *byte;
            }
            fuzz::decompress(&packed);
        }
    }
}

#[test]
fn batches_survive_every_codec() {
    let records: Vec<_> = (0..500).map(|time| owned(time, Some("key"), Some("a value like the others"))).collect();
    let plain = build(&records, Compression::None);
    for &codec in CODECS {
        let packed = build(&records, codec);
        assert!(packed.len() < plain.len() / 4, "{codec}");
        assert_eq!(batches(&packed).next().unwrap().unwrap().header().compression, codec);
        assert_eq!(contents(&only(&packed).unwrap()), (0..).zip(records.clone()).collect::<Vec<_>>());
        let still_packed = batches(&packed).next().unwrap().unwrap();
        refused(still_packed.validate(), "still compressed");
    }
}

#[test]
fn records_that_would_grow_stay_as_they_are() {
    for &codec in CODECS {
        let bytes = build(&[owned(0, None, Some("x"))], codec);
        assert_eq!(only(&bytes).unwrap().header().attributes, 0);
        assert_eq!(bytes, build(&[owned(0, None, Some("x"))], Compression::None));
    }
}

#[test]
fn bombs_end_at_the_limit() {
    let zeros = vec![0; 8 * MIB];
    for &codec in CODECS {
        let packed = compress(codec, &zeros).unwrap();
        let error = refused(unpacked(codec, &packed), "decompresses past 1048576");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert!(unpacked(Compression::Gzip, &compress(Compression::Gzip, &zeros[..MIB]).unwrap()).is_ok());
    for &codec in CODECS {
        let one_more = compress(codec, &zeros[..MIB + 1]).unwrap();
        refused(unpacked(codec, &one_more), "decompresses past 1048576");
        let exactly = compress(codec, &zeros[..MIB]).unwrap();
        assert_eq!(unpacked(codec, &exactly).unwrap(), &zeros[..MIB], "{codec}");
    }
}

#[test]
fn a_bomb_in_a_batch_names_its_offset() {
    let value = String::from_utf8(vec![0; 2 * MIB]).unwrap();
    let bytes = build(&[owned(0, None, Some(&value))], Compression::Lz4);
    let batch = batches(&bytes).next().unwrap().unwrap();
    let error = refused(batch.decompress(LIMIT), "decompresses past 1048576");
    assert_eq!(error.offset(), Some(0));
}

#[test]
fn the_ratio_counts_beyond_what_is_free() {
    let limits = Limits { bytes: usize::MAX, ratio: 100 };
    assert_eq!(limits.for_input(10), Limits::FREE);
    assert_eq!(limits.for_input(MIB), 100 * MIB);
    assert_eq!(limits.for_input(usize::MAX), usize::MAX);
    assert_eq!(LIMIT.for_input(MIB), MIB);
}

#[test]
fn data_that_is_cut_short_or_empty_is_an_error() {
    for &codec in CODECS {
        let packed = compress(codec, &text(100_000)).unwrap();
        for end in (0..packed.len()).step_by(1 + packed.len() / 300).chain([packed.len() - 1]) {
            // Between two of snappy-java's blocks nothing shows that there should be more.
            if codec != Compression::Snappy || end < 8 {
                assert!(unpacked(codec, &packed[..end]).is_err(), "{codec} cut at {end} of {}", packed.len());
            } else {
                let cut = unpacked(codec, &packed[..end]);
                assert!(cut.is_err() || cut.unwrap().len().is_multiple_of(32 * 1024));
            }
        }
    }
}

#[test]
fn bytes_behind_the_end_are_an_error() {
    for &codec in CODECS {
        let mut packed = compress(codec, &text(1000)).unwrap();
        packed.extend_from_slice(b"garbage behind it");
        assert!(unpacked(codec, &packed).is_err(), "{codec}");
    }
}

#[test]
fn gzip_with_a_bad_trailer() {
    let packed = compress(Compression::Gzip, &text(1000)).unwrap();
    for back in [1, 5] {
        let mut bad = packed.clone();
        let at = bad.len() - back;
        bad[at] ^= 1;
        refused(unpacked(Compression::Gzip, &bad), "corrupt gzip data");
    }
}

#[test]
fn snappy_that_lies_about_its_length() {
    // A bare block: its length as a varint, then a literal of one byte.
    assert_eq!(unpacked(Compression::Snappy, &[1, 0, b'x']).unwrap(), b"x");
    refused(unpacked(Compression::Snappy, &[3, 0, b'x']), "corrupt snappy data");
    refused(unpacked(Compression::Snappy, &[0x80, 0x80, 0x20, 0, b'x']), "claim to be 524288");
    refused(unpacked(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'x']), "past 1048576");
    // A copy from before the start.
    refused(unpacked(Compression::Snappy, &[4, 0x01, 0x05]), "corrupt snappy data");
}

#[test]
fn snappy_blocks_whose_sum_exceeds_the_limit() {
    let mut framed = compress(Compression::Snappy, &[]).unwrap();
    let block = snap::raw::Encoder::new().compress_vec(&vec![0; MIB / 2]).unwrap();
    for _ in 0..2 {
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    assert_eq!(unpacked(Compression::Snappy, &framed).unwrap().len(), MIB);
    framed.extend_from_slice(&[0, 0, 0, 3, 1, 0, 0]);
    refused(unpacked(Compression::Snappy, &framed), "past 1048576");
    framed.extend_from_slice(&[0xff; 4]);
    refused(unpacked(Compression::Snappy, &framed[..]), "past 1048576");
}

#[test]
fn lz4_with_a_bad_header_or_a_match_before_its_start() {
    let packed = compress(Compression::Lz4, &text(1000)).unwrap();
    let mut bad = packed.clone();
    bad[6] ^= 1;
    refused(unpacked(Compression::Lz4, &bad), "corrupt lz4 data");
    // A legacy frame, which no Kafka client writes.
    refused(unpacked(Compression::Lz4, &[0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0]), "not an LZ4 frame");
    // One block: no literals, a match of four from 16 bytes back, then five literals.
    let mut wild = packed[..7].to_vec();
    let block = [0x00, 16, 0, 0x50, b'a', b'b', b'c', b'd', b'e'];
    wild.extend_from_slice(&(block.len() as u32).to_le_bytes());
    wild.extend_from_slice(&block);
    wild.extend_from_slice(&[0; 4]);
    refused(unpacked(Compression::Lz4, &wild), "corrupt lz4 data");
}

/// Our own frames, read by the library's decoder of frames.
#[test]
fn lz4_frames_are_what_others_take_for_one() {
    for size in [0, 1, 20, 65_533, 65_534, 65_535, 65_536, 200_000] {
        let packed = compress(Compression::Lz4, &text(size)).unwrap();
        let mut read = Vec::new();
        let mut decoder = lz4_flex::frame::FrameDecoder::new(&packed[..]);
        std::io::Read::read_to_end(&mut decoder, &mut read).unwrap();
        assert_eq!(read, text(size));
    }
}

/// Whatever else a client may set: dependent blocks, larger ones, checksums, the size of the content.
#[test]
fn lz4_frames_of_every_kind() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let content: Vec<u8> = (0..40).flat_map(|n| text(5_000 + n)).collect();
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for bits in 0..16 {
            let bit = |n: i32| bits & 1 << n != 0;
            let info = FrameInfo::new()
                .block_size(size)
                .block_mode(if bit(0) { BlockMode::Linked } else { BlockMode::Independent })
                .block_checksums(bit(1))
                .content_checksum(bit(2))
                .content_size(bit(3).then_some(content.len() as u64));
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            std::io::Write::write_all(&mut encoder, &content).unwrap();
            let packed = encoder.finish().unwrap();
            assert_eq!(unpacked(Compression::Lz4, &packed).unwrap(), content, "{size:?} {bits:04b}");
            for cut in [1, 4, 5, 8, packed.len() / 2] {
                refused(unpacked(Compression::Lz4, &packed[..packed.len() - cut]), "corrupt lz4 data");
            }
            refused(unpacked(Compression::Lz4, &[&packed[..], &[0]].concat()), "corrupt lz4 data");
            let mut last = packed.clone();
            if bit(2) {
                last[packed.len() - 1] ^= 1;
                refused(unpacked(Compression::Lz4, &last), "wrong checksum");
            }
        }
    }
}

#[test]
fn zstd_headers_that_claim_too_much() {
    // One segment of 64 GiB; a window of 1 GiB; a window of 64 MiB, which is fine for a few bytes.
    let mut claims = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    claims.extend_from_slice(&(64u64 << 30).to_le_bytes());
    claims.extend_from_slice(&[1, 0, 0]);
    assert!(unpacked(Compression::Zstd, &claims).is_err());
    let block = [9, 0, 0, b'x'];
    let window = |descriptor: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0, descriptor][..], &block].concat();
    assert!(unpacked(Compression::Zstd, &window(20 << 3)).is_err());
    assert_eq!(unpacked(Compression::Zstd, &window(16 << 3)).unwrap(), b"x");
}

#[test]
fn zstd_with_a_wrong_checksum() {
    let mut packed = compress(Compression::Zstd, &text(1000)).unwrap();
    *packed.last_mut().unwrap() ^= 1;
    refused(unpacked(Compression::Zstd, &packed), "wrong checksum");
}

#[test]
fn names_and_numbers_are_kafkas() {
    let names = Compression::ALL.map(|codec| (codec.id(), codec.name()));
    assert_eq!(names, [(0, "none"), (1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")]);
    for codec in Compression::ALL {
        assert_eq!(Compression::from_id(codec.id().into()), Some(codec));
        codec.available().unwrap();
    }
    assert_eq!(Compression::from_id(5), None);
}

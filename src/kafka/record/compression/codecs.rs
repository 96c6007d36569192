//! The four codecs themselves, in the framing that Kafka gives each.

use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::block;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder as ZstdDecoder};
use ruzstd::encoding::CompressionLevel;
use twox_hash::XxHash32;

use super::{Compression, Failure, Sink, push_if_room};

/// Starts the framing that snappy-java (xerial) gives to Snappy blocks: magic, version 1, readable by version 1.
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_MAGIC: usize = 8;
/// What snappy-java puts into one block.
const XERIAL_BLOCK: usize = 32 * 1024;
/// A Snappy element of three bytes yields at most 64.
const SNAPPY_RATIO: usize = 22;

const LZ4_MAGIC: u32 = 0x184D_2204;
const LZ4_STORED: u32 = 1 << 31;
const LZ4_VERSION: u8 = 1;
/// The code of blocks of up to 64 KiB, the smallest; each code above it is four times as much.
const LZ4_64_KIB: u8 = 4;
/// What is put into one: positions in it fit into 16 bits, which makes the table of matches small and quick.
const LZ4_BLOCK: usize = u16::MAX as usize - 1;
/// What no version has a meaning for, in the flags and beside the code of the size.
const LZ4_RESERVED: u8 = 0x02;
const LZ4_SIZES_RESERVED: u8 = 0x8f;
/// The flags of a frame.
const LZ4_DICTIONARY: u8 = 0x01;
const LZ4_CONTENT_CHECKSUM: u8 = 0x04;
const LZ4_CONTENT_SIZE: u8 = 0x08;
const LZ4_BLOCK_CHECKSUM: u8 = 0x10;
const LZ4_INDEPENDENT: u8 = 0x20;
/// How far back a match may lie.
const LZ4_WINDOW: usize = 64 << 10;

/// The largest window that Kafka's highest zstd level uses. It is filled as data arrives, never beforehand.
const ZSTD_WINDOW: u64 = 128 << 20;
/// How much a zstd frame may unfold, about, before the limit is looked at again.
const ZSTD_STEP: usize = 256 * 1024;

/// How much is read at once.
const STEP: usize = 64 * 1024;

pub(super) fn compress(codec: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
    match codec {
        Compression::None => Ok(push_if_room(out, input)),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(input.len() / 2), flate2::Compression::default());
            encoder.write_all(input)?;
            Ok(push_if_room(out, &encoder.finish()?))
        }
        Compression::Snappy => snappy_compress(input, out),
        Compression::Lz4 => lz4_compress(input, out),
        Compression::Zstd => {
            let mut output = Vec::with_capacity(input.len() / 2);
            ruzstd::encoding::compress(input, &mut output, CompressionLevel::Fastest);
            Ok(push_if_room(out, &output))
        }
    }
}

pub(super) fn decompress(codec: Compression, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
    match codec {
        Compression::None => sink.push(input),
        Compression::Gzip if input.is_empty() => Err("no data".into()),
        Compression::Gzip => pump(MultiGzDecoder::new(input), sink),
        Compression::Snappy => snappy_decompress(input, sink),
        Compression::Lz4 => lz4_decompress(input, sink),
        Compression::Zstd => zstd_decompress(input, sink),
    }
}

/// Reads to the end, at most a byte past the limit.
fn pump(mut source: impl Read, sink: &mut Sink<'_>) -> Result<(), Failure> {
    loop {
        let left = sink.left();
        if left == 0 {
            let more = source.read(&mut [0])?;
            return sink.check(more);
        }
        let step = left.min(STEP);
        let read = source.read(sink.room(step)?.1)?;
        sink.end += read;
        if read == 0 {
            return Ok(());
        }
    }
}

fn snappy_compress(input: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut encoder = snap::raw::Encoder::new();
    let mut block = vec![0; snap::raw::max_compress_len(XERIAL_BLOCK)];
    let mut fits = push_if_room(out, &XERIAL_HEADER);
    for chunk in input.chunks(XERIAL_BLOCK) {
        let size = encoder.compress(chunk, &mut block)?;
        fits = fits && push_if_room(out, &(size as u32).to_be_bytes()) && push_if_room(out, &block[..size]);
    }
    Ok(fits)
}

/// Java frames its blocks; librdkafka and others write one bare block.
fn snappy_decompress(input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
    if !input.starts_with(&XERIAL_HEADER[..XERIAL_MAGIC]) {
        return snappy_block(input, sink);
    }
    let mut rest = input.get(XERIAL_HEADER.len()..).ok_or("the header is cut short")?;
    while !rest.is_empty() {
        let (size, tail) = rest.split_first_chunk().ok_or("a block's length is cut short")?;
        let (block, tail) = tail.split_at_checked(u32::from_be_bytes(*size) as usize).ok_or("a block is cut short")?;
        snappy_block(block, sink)?;
        rest = tail;
    }
    Ok(())
}

fn snappy_block(block: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
    if block.is_empty() {
        return Err("an empty block".into());
    }
    let size = snap::raw::decompress_len(block)?;
    if size > block.len().saturating_mul(SNAPPY_RATIO) {
        // Still past the limit if it says so: that is what someone looking for the cause wants to know.
        sink.check(size)?;
        return Err(format!("{} bytes claim to be {size}", block.len()).into());
    }
    sink.end += snap::raw::Decoder::new().decompress(block, sink.room(size)?.1)?;
    Ok(())
}

/// One frame of independent blocks, without checksums but the header's own: the batch has one.
fn lz4_compress(input: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
    let [magic @ .., flags, sizes, checksum] = &mut [0; 7];
    *magic = LZ4_MAGIC.to_le_bytes();
    (*flags, *sizes) = (LZ4_VERSION << 6 | LZ4_INDEPENDENT, LZ4_64_KIB << 4);
    *checksum = (XxHash32::oneshot(0, &[*flags, *sizes]) >> 8) as u8;
    let mut fits = push_if_room(out, magic) && push_if_room(out, &[*flags, *sizes, *checksum]);
    let mut table = block::CompressTable::small();
    let mut packed = vec![0; block::get_maximum_output_size(input.len().min(LZ4_BLOCK))];
    for block in input.chunks(LZ4_BLOCK) {
        let size = block::compress_into_with_table(block, &mut packed, &mut table)?;
        let (block, flag) = if size < block.len() { (&packed[..size], 0) } else { (block, LZ4_STORED) };
        fits = fits && push_if_room(out, &(block.len() as u32 | flag).to_le_bytes()) && push_if_room(out, block);
    }
    Ok(fits && push_if_room(out, &[0; 4]))
}

/// One LZ4 frame from its magic number to its end mark. Its blocks unfold in place: going through a stream would copy
/// all of it once more.
fn lz4_decompress(input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
    const CUT: &str = "the frame is cut short";
    let (magic, rest) = input.split_first_chunk().ok_or(CUT)?;
    let ([flags, sizes], rest) = rest.split_first_chunk().ok_or(CUT)?;
    if u32::from_le_bytes(*magic) != LZ4_MAGIC {
        return Err("not an LZ4 frame".into());
    }
    if flags >> 6 != LZ4_VERSION || flags & LZ4_RESERVED != 0 || sizes & LZ4_SIZES_RESERVED != 0 {
        return Err("an unknown kind of LZ4 frame".into());
    }
    let flag = |bit: u8| flags & bit != 0;
    if flag(LZ4_DICTIONARY) {
        return Err("it needs a dictionary, which Kafka has no place for".into());
    }
    let largest = match sizes >> 4 & 7 {
        code @ LZ4_64_KIB.. => 1 << (8 + 2 * code),
        code => return Err(format!("an unknown block size, {code}").into()),
    };
    // The size of the content is no more than a claim.
    let said = if flag(LZ4_CONTENT_SIZE) { Some(u64::from_le_bytes(*rest.first_chunk().ok_or(CUT)?)) } else { None };
    let described = 2 + if said.is_some() { 8 } else { 0 };
    let (&checksum, mut rest) = rest.get(described - 2..).and_then(<[u8]>::split_first).ok_or(CUT)?;
    if (XxHash32::oneshot(0, &input[4..4 + described]) >> 8) as u8 != checksum {
        return Err("wrong checksum of the frame's header".into());
    }
    let start = sink.end;
    loop {
        let (word, tail) = rest.split_first_chunk().ok_or(CUT)?;
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            rest = tail;
            break;
        }
        let size = usize::try_from(word & !LZ4_STORED)?;
        if size > largest {
            return Err(format!("a block of {size} bytes in a frame of blocks of up to {largest}").into());
        }
        let (block, tail) = tail.split_at_checked(size).ok_or(CUT)?;
        rest = if flag(LZ4_BLOCK_CHECKSUM) { lz4_checked(tail, block).ok_or(CUT)?? } else { tail };
        if word & LZ4_STORED != 0 {
            sink.push(block)?;
        } else {
            lz4_block(block, largest, !flag(LZ4_INDEPENDENT), sink)?;
        }
    }
    if let Some(said) = said
        && u64::try_from(sink.end - start) != Ok(said)
    {
        return Err(format!("{} bytes in place of {said}", sink.end - start).into());
    }
    if flag(LZ4_CONTENT_CHECKSUM) {
        rest = lz4_checked(rest, sink.room(0)?.0).ok_or(CUT)??;
    }
    if rest.is_empty() { Ok(()) } else { Err("bytes behind the frame".into()) }
}

/// What follows the checksum of `content`, which `rest` starts with; `None` if there is none.
fn lz4_checked<'a>(rest: &'a [u8], content: &[u8]) -> Option<Result<&'a [u8], &'static str>> {
    let (checksum, rest) = rest.split_first_chunk()?;
    let right = XxHash32::oneshot(0, content) == u32::from_le_bytes(*checksum);
    Some(if right { Ok(rest) } else { Err("wrong checksum") })
}

/// A block that is `linked` may refer to the 64 KiB before it.
fn lz4_block(block: &[u8], largest: usize, linked: bool, sink: &mut Sink<'_>) -> Result<(), Failure> {
    let left = sink.left();
    // No byte of a block unfolds to more than 255.
    let room = largest.min(block.len().saturating_mul(255)).min(left);
    let (before, target) = sink.room(room)?;
    let done = if linked {
        let window = &before[before.len().saturating_sub(LZ4_WINDOW)..];
        block::decompress_into_with_dict(block, target, window)
    } else {
        block::decompress_into(block, target)
    };
    match done {
        Ok(size) => sink.end += size,
        Err(block::DecompressError::OutputTooSmall { .. }) if room == left => sink.check(room + 1)?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn zstd_decompress(mut input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
    if input.is_empty() {
        return Err("no data".into());
    }
    while !input.is_empty() {
        let mut decoder = ZstdDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        match decoder.init(&mut input) {
            Ok(()) => zstd_frame(&mut decoder, &mut input, sink)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                input = input.get(length as usize..).ok_or("a skippable frame is cut short")?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The decoder keeps back up to a window of output, so what it has unfolded is counted by what it must have at least.
fn zstd_frame(decoder: &mut ZstdDecoder, input: &mut &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
    let left = sink.left();
    sink.check(usize::try_from(decoder.content_size()).unwrap_or(usize::MAX))?;
    let mut unfolded = 0;
    while !decoder.decode_blocks(&mut *input, BlockDecodingStrategy::UptoBytes(ZSTD_STEP))? {
        unfolded += ZSTD_STEP;
        if unfolded > left {
            return sink.check(unfolded);
        }
        decoder.collect_to_writer(&mut *sink)?;
    }
    decoder.collect_to_writer(&mut *sink)?;
    match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
        (Some(said), Some(found)) if said != found => Err("wrong checksum".into()),
        _ => Ok(()),
    }
}

//! Decompression bombs cost no memory. A program of its own: the peak of a process can only be told for all of it.
#![cfg(all(feature = "compression", target_os = "linux"))]

use std::io::Write;

use krs::kafka::record::fuzz;

const MIB: usize = 1 << 20;

/// Forgets the peak so far.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The most memory this process has had since, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

fn zeros(mut encoder: impl Write, size: usize) {
    let block = [0; 64 * 1024];
    for _ in 0..size / block.len() {
        encoder.write_all(&block).unwrap();
    }
}

fn gzip() -> Vec<u8> {
    let mut packed = Vec::new();
    zeros(flate2::write::GzEncoder::new(&mut packed, flate2::Compression::default()), 64 * MIB);
    packed
}

/// Blocks of 4 MiB, linked: the form of a frame that needs most memory.
fn lz4() -> Vec<u8> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let frame = FrameInfo::new().block_size(BlockSize::Max4MB).block_mode(BlockMode::Linked);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    zeros(&mut encoder, 128 * MIB);
    encoder.finish().unwrap()
}

fn snappy() -> Vec<u8> {
    let mut packed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    let block = snap::raw::Encoder::new().compress_vec(&vec![0; MIB / 2]).unwrap();
    for _ in 0..32 {
        packed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        packed.extend_from_slice(&block);
    }
    packed
}

/// A frame with this header and a gigabyte of zeros: 8192 blocks that each repeat one byte 128 Ki times.
fn zstd(header: &[u8]) -> Vec<u8> {
    let mut packed = [&[0x28, 0xb5, 0x2f, 0xfd], header].concat();
    for index in 0..8192 {
        let block = u32::from(index == 8191) | 1 << 1 | (128 * 1024) << 3;
        packed.extend_from_slice(&block.to_le_bytes()[..3]);
        packed.push(0);
    }
    packed
}

#[test]
fn bombs_stay_within_the_limit_and_32_mebibytes() {
    let bombs = [
        ("gzip", gzip()),
        ("lz4", lz4()),
        ("snappy", snappy()),
        ("bare snappy that claims 4 GiB", vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'x']),
        ("zstd with a window of 128 MiB", zstd(&[0, 17 << 3])),
        ("zstd with a window of 1 GiB", zstd(&[0, 20 << 3])),
        ("zstd that claims 1 GiB at once", zstd(&[0xa0, 0, 0, 0, 0x40])),
        ("zstd that claims 64 GiB at once", zstd(&[0xe0, 0, 0, 0, 0, 16, 0, 0, 0])),
    ];
    reset_peak();
    let before = peak();
    for (name, bomb) in &bombs {
        assert_eq!(fuzz::decompress(bomb), bomb.len(), "{name}: only the codec `none` has output");
        // fuzz::decompress allows 1 MiB of output.
        let grown = peak() - before;
        println!("{name}: {} KiB", grown / 1024);
        assert!(grown <= 33 * MIB, "{name}: {grown} bytes");
    }
}

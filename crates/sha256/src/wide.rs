//! Sixteen lanes in the 512-bit registers of x86 processors.
//!
//! Source: FIPS 180-4, section 6.2.2; ternary logic and rotations of AVX-512F, byte shuffles of
//! AVX-512BW.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m512i, _mm_extract_epi32, _mm512_add_epi32, _mm512_extracti32x4_epi32, _mm512_ror_epi32,
    _mm512_set1_epi32, _mm512_set4_epi32, _mm512_setr_epi32, _mm512_setr_epi64,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

use crate::BLOCK_BYTES;
use crate::lanes::{LANES, States, Words};

/// Whether this processor can run [`compress`].
pub(crate) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Takes the blocks of every lane into its state; all lanes have equally many.
pub(crate) fn compress(states: &mut States, lanes: &[&[[u8; BLOCK_BYTES]]; LANES]) {
    assert!(
        is_there(),
        "this way is chosen only where the processor has it"
    );
    // SAFETY: the processor has the features that the function is compiled for: asserted above.
    #[allow(unsafe_code, reason = "the one call that needs a processor feature")]
    unsafe {
        compress_wide(states, lanes);
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress_wide(states: &mut States, lanes: &[&[[u8; BLOCK_BYTES]]; LANES]) {
    let mut state = states.map(|words| load_words(words));
    for index in 0..lanes[0].len() {
        compress_block(&mut state, lanes, index);
    }
    *states = state.map(|vector| store_words(vector));
}

/// The constants of the rounds: FIPS 180-4, section 4.2.2.
#[rustfmt::skip]
const ROUND: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5,
    0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
    0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc,
    0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
    0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
    0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3,
    0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5,
    0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
    0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Bits that differ in an odd number of three words.
const XOR: i32 = 0x96;
/// The second word where the first has a one, else the third.
const CHOOSE: i32 = 0xca;
/// What at least two of three words have.
const MAJORITY: i32 = 0xe8;

/// The function of three words that both parts of the schedule and of a round use.
macro_rules! mix {
    ($word:expr, $first:literal, $second:literal, $third:expr) => {
        _mm512_ternarylogic_epi32::<XOR>(
            _mm512_ror_epi32::<$first>($word),
            _mm512_ror_epi32::<$second>($word),
            $third,
        )
    };
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn compress_block(state: &mut [__m512i; 8], lanes: &[&[[u8; BLOCK_BYTES]]; LANES], index: usize) {
    let mut schedule = [_mm512_setzero_si512(); 16];
    for (row, lane) in schedule.iter_mut().zip(lanes) {
        *row = load_block(&lane[index]);
    }
    let mut schedule = transpose(schedule);
    let mut work = *state;
    for index in 0..16 {
        round(&mut work, schedule[index], ROUND[index]);
    }
    for constants in ROUND[16..].as_chunks::<16>().0 {
        for index in 0..16 {
            extend(&mut schedule, index);
            round(&mut work, schedule[index], constants[index]);
        }
    }
    for (word, add) in state.iter_mut().zip(work) {
        *word = _mm512_add_epi32(*word, add);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn round(work: &mut [__m512i; 8], word: __m512i, constant: u32) {
    let [a, b, c, d, e, f, g, h] = *work;
    let constant = _mm512_set1_epi32(constant.cast_signed());
    let first = mix!(e, 6, 11, _mm512_ror_epi32::<25>(e));
    let choice = _mm512_ternarylogic_epi32::<CHOOSE>(e, f, g);
    let sum = _mm512_add_epi32(h, _mm512_add_epi32(word, constant));
    let sum = _mm512_add_epi32(_mm512_add_epi32(sum, first), choice);
    let second = mix!(a, 2, 13, _mm512_ror_epi32::<22>(a));
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
    let top = _mm512_add_epi32(sum, _mm512_add_epi32(second, majority));
    *work = [top, a, b, c, _mm512_add_epi32(d, sum), e, f, g];
}

/// Replaces the schedule's word at `index` by the one sixteen further on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn extend(schedule: &mut [__m512i; 16], index: usize) {
    let (near, far) = (schedule[(index + 1) % 16], schedule[(index + 14) % 16]);
    let near = mix!(near, 7, 18, _mm512_srli_epi32::<3>(near));
    let far = mix!(far, 17, 19, _mm512_srli_epi32::<10>(far));
    let old = _mm512_add_epi32(schedule[index], schedule[(index + 9) % 16]);
    schedule[index] = _mm512_add_epi32(old, _mm512_add_epi32(near, far));
}

/// A block's sixteen big-endian words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_block(block: &[u8; BLOCK_BYTES]) -> __m512i {
    let (words, _) = block.as_chunks::<8>();
    let word = |index: usize| i64::from_le_bytes(words[index]);
    let little = _mm512_setr_epi64(
        word(0),
        word(1),
        word(2),
        word(3),
        word(4),
        word(5),
        word(6),
        word(7),
    );
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    _mm512_shuffle_epi8(little, swap)
}

/// Turns the blocks of sixteen lanes into sixteen words of all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(mut rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = [_mm512_setzero_si512(); 16];
    for (to, from) in pairs
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(rows.as_chunks::<2>().0)
    {
        to[0] = _mm512_unpacklo_epi32(from[0], from[1]);
        to[1] = _mm512_unpackhi_epi32(from[0], from[1]);
    }
    for (to, from) in rows
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(pairs.as_chunks::<4>().0)
    {
        to[0] = _mm512_unpacklo_epi64(from[0], from[2]);
        to[1] = _mm512_unpackhi_epi64(from[0], from[2]);
        to[2] = _mm512_unpacklo_epi64(from[1], from[3]);
        to[3] = _mm512_unpackhi_epi64(from[1], from[3]);
    }
    // Quarter k of rows[4 i + j] now holds word 4 k + j of the lanes 4 i to 4 i + 3.
    let mut words = [_mm512_setzero_si512(); 16];
    for index in 0..4 {
        let (a, b, c, d) = (
            rows[index],
            rows[4 + index],
            rows[8 + index],
            rows[12 + index],
        );
        let (low, high) = (
            [
                _mm512_shuffle_i32x4::<0x88>(a, b),
                _mm512_shuffle_i32x4::<0x88>(c, d),
            ],
            [
                _mm512_shuffle_i32x4::<0xdd>(a, b),
                _mm512_shuffle_i32x4::<0xdd>(c, d),
            ],
        );
        words[index] = _mm512_shuffle_i32x4::<0x88>(low[0], low[1]);
        words[8 + index] = _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]);
        words[4 + index] = _mm512_shuffle_i32x4::<0x88>(high[0], high[1]);
        words[12 + index] = _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]);
    }
    words
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_words(words: Words) -> __m512i {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words.map(u32::cast_signed);
    _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_words(vector: __m512i) -> Words {
    let quarters = [
        _mm512_extracti32x4_epi32::<0>(vector),
        _mm512_extracti32x4_epi32::<1>(vector),
        _mm512_extracti32x4_epi32::<2>(vector),
        _mm512_extracti32x4_epi32::<3>(vector),
    ];
    let mut words = [0; LANES];
    for (to, quarter) in words.as_chunks_mut::<4>().0.iter_mut().zip(quarters) {
        *to = [
            _mm_extract_epi32::<0>(quarter),
            _mm_extract_epi32::<1>(quarter),
            _mm_extract_epi32::<2>(quarter),
            _mm_extract_epi32::<3>(quarter),
        ]
        .map(i32::cast_unsigned);
    }
    words
}

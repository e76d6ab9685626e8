//! The chunker polynomial that every repository has.
//!
//! restic refuses to open a repository whose polynomial is not irreducible. We use it as the
//! secret seed of our own cuts.
//!
//! Polynomials over GF(2): bit i is the coefficient of x^i.

use lifeboat_model::Entropy;

/// Degree that restic asks for.
const DEGREE: u32 = 53;

/// Says whether `polynomial` has degree 53 and no factors.
///
/// Rabin's test: f of degree n is irreducible iff x^(2^n) = x (mod f) and, for every prime p that
/// divides n, gcd(x^(2^(n/p)) - x, f) = 1. 53 is prime: only n/p = 1 remains.
pub fn is_irreducible(polynomial: u64) -> bool {
    if polynomial >> DEGREE != 1 {
        return false;
    }
    let x = 2;
    let mut power = x;
    for _ in 0..DEGREE {
        power = multiply(power, power, polynomial);
    }
    let first = multiply(x, x, polynomial) ^ x;
    power == x && greatest_common_divisor(polynomial, first) == 1
}

/// Draws random polynomials of degree 53 until one is irreducible; about 26 tries in the mean.
pub(crate) fn draw(entropy: &dyn Entropy) -> u64 {
    loop {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        // The lowest bit: a polynomial without it is divisible by x.
        let candidate = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return candidate;
        }
    }
}

fn multiply(a: u64, b: u64, modulus: u64) -> u64 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a >> DEGREE & 1 == 1 {
            a ^= modulus;
        }
    }
    product
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, remainder(a, b));
    }
    a
}

fn remainder(a: u64, b: u64) -> u64 {
    let mut rest = a;
    while rest != 0 && rest.ilog2() >= b.ilog2() {
        rest ^= b << (rest.ilog2() - b.ilog2());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irreducible_polynomials_are_told_apart() {
        // From restic's own documentation and tests.
        assert!(is_irreducible(0x3DA3358B4DC173));
        for reducible in [
            0x3DA3358B4DC172,
            0x20000000000000,
            0x3DA3358B4DC173 << 1,
            0,
            1,
            u64::MAX,
        ] {
            assert!(!is_irreducible(reducible), "{reducible:x}");
        }
        let irreducible = (0u64..4000)
            .filter(|low| is_irreducible(1 << 53 | low))
            .count();
        assert!(
            (40..120).contains(&irreducible),
            "one in 53 is irreducible: {irreducible}"
        );
    }
}

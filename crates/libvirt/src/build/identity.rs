//! UUIDs and MAC addresses: which are free here, and new ones.

use std::collections::BTreeSet;

use lifeboat_model::{Entropy, ErrorKind};
use lifeboat_platform::{Error, Identity, Result, VmId};

use crate::binding::{Connection, DefinitionKind};
use crate::definition::Definition;

/// What other machines have.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) uuids: BTreeSet<String>,
    pub(crate) addresses: BTreeSet<String>,
}

/// What the new machine will have.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewIdentity {
    /// Nothing keeps the definition's.
    pub(crate) uuid: Option<String>,
    /// Addresses that are not kept, in lower case.
    pub(crate) replaced: BTreeSet<String>,
}

impl Taken {
    /// Looks at all machines; the addresses of `aside` will be free.
    pub(crate) fn here(connection: &Connection, aside: Option<&VmId>) -> Result<Self> {
        let failed =
            |failure: crate::binding::Failure| failure.of("listing the machines of", "libvirt");
        let mut taken = Self::default();
        for domain in connection.domains().map_err(failed)? {
            let uuid = domain.uuid().map_err(failed)?;
            let is_aside = aside.is_some_and(|it| it.as_str() == uuid);
            taken.uuids.insert(uuid);
            // A machine that went away meanwhile has nothing any more.
            let Ok(xml) = domain.xml(DefinitionKind::Stored) else {
                continue;
            };
            if !is_aside && let Ok(definition) = Definition::parse(&xml) {
                taken.addresses.extend(definition.addresses);
            }
        }
        Ok(taken)
    }
}

/// Decides by the rule.
///
/// Errors: `Exists` if something must be kept that another machine has.
pub(crate) fn decide(
    rule: Identity,
    old: &Definition,
    taken: &Taken,
    entropy: &dyn Entropy,
) -> Result<NewIdentity> {
    let is_taken = taken.uuids.contains(&old.uuid) || old.uuid.is_empty();
    let same: BTreeSet<_> = old.addresses.iter().cloned().collect();
    let double: BTreeSet<_> = same.intersection(&taken.addresses).cloned().collect();
    let fresh = || Some(uuid(entropy));
    match rule {
        Identity::New => Ok(NewIdentity {
            uuid: fresh(),
            replaced: same,
        }),
        Identity::KeepIfFree => Ok(NewIdentity {
            uuid: if is_taken { fresh() } else { None },
            replaced: double,
        }),
        Identity::Keep if is_taken || !double.is_empty() => Err(Error::new(
            ErrorKind::Exists,
            "keeping the identity of",
            old.name.as_str(),
        )
        .seen("another machine has its UUID or a MAC address; build it with a new identity")),
        Identity::Keep => Ok(NewIdentity::default()),
    }
}

/// A UUID of chance (version 4).
fn uuid(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | 4 << 76;
    let number = number & !(0b11 << 62) | 0b10 << 62;
    let digits = format!("{number:032x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

/// A MAC address in QEMU's range that nobody has here.
pub(crate) fn address(entropy: &dyn Entropy, taken: &mut BTreeSet<String>) -> String {
    loop {
        let mut bytes = [0; 3];
        entropy.fill(&mut bytes);
        let [a, b, c] = bytes;
        let address = format!("52:54:00:{a:02x}:{b:02x}:{c:02x}");
        if taken.insert(address.clone()) {
            return address;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Ones;

    impl Entropy for Ones {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0xff);
        }
    }

    #[test]
    fn new_uuids_say_their_version() {
        assert_eq!(uuid(&Ones), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}

//! The small files that describe a machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use lifeboat_platform::{DescribingFile, Finding, Result, VmId};

use crate::binding::{DefinitionKind, Domain};
use crate::definition::Definition;

/// The file with the machine's definition.
pub(crate) const DEFINITION_FILE: &str = "machine.xml";
/// The file with its firmware's variables.
pub(crate) const NVRAM_FILE: &str = "nvram.fd";
/// Limit: bytes of an NVRAM file; real ones have 64 MiB at most.
const NVRAM_BYTES_MAX: u64 = 64 << 20;

/// Reads the definition of a machine as it is now.
pub(crate) fn definition(
    domain: &Domain,
    vm: &VmId,
    kind: DefinitionKind,
) -> Result<(Definition, String)> {
    let xml = domain
        .xml(kind)
        .map_err(|failure| failure.of("reading the definition of", vm.as_str()))?;
    Ok((Definition::parse(&xml)?, xml))
}

/// The describing files of a machine as it is now.
pub(crate) fn describe(domain: &Domain, vm: &VmId) -> Result<Vec<DescribingFile>> {
    let (definition, xml) = definition(domain, vm, DefinitionKind::Present)?;
    Ok(files(&definition, xml).0)
}

/// The describing files, and what is missing among them.
pub(crate) fn files(definition: &Definition, xml: String) -> (Vec<DescribingFile>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut files = vec![DescribingFile {
        name: DEFINITION_FILE.into(),
        content: xml.into_bytes(),
    }];
    if let Some(path) = &definition.nvram {
        match nvram(path) {
            Ok(content) => files.push(DescribingFile {
                name: NVRAM_FILE.into(),
                content,
            }),
            Err(reason) => findings.push(Finding::warning(format!(
                "the firmware's variables in {} are not kept: {reason}",
                path.display()
            ))),
        }
    }
    if definition.has_tpm {
        let text = "the state of the TPM is not kept: secrets bound to it are lost on a restore";
        findings.push(Finding::warning(text));
    }
    (files, findings)
}

fn nvram(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(NVRAM_BYTES_MAX + 1).read_to_end(&mut content));
    match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if content.len() as u64 > NVRAM_BYTES_MAX => Err("it is too large".into()),
        Ok(_) => Ok(content),
    }
}

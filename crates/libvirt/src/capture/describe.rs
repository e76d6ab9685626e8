//! The small files that describe a machine.

use lifeboat_platform::{DescribingFile, Finding, Result, VmId};

use crate::binding::{DefinitionKind, Domain};
use crate::definition::Definition;
use crate::host::Host;

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
pub(crate) fn describe(host: &dyn Host, domain: &Domain, vm: &VmId) -> Result<Vec<DescribingFile>> {
    let (definition, xml) = definition(domain, vm, DefinitionKind::Present)?;
    Ok(files(host, &definition, xml).0)
}

/// The describing files, and what is missing among them.
pub(crate) fn files(
    host: &dyn Host,
    definition: &Definition,
    xml: String,
) -> (Vec<DescribingFile>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut files = vec![DescribingFile {
        name: DEFINITION_FILE.into(),
        content: xml.into_bytes(),
    }];
    if let Some(path) = &definition.nvram {
        match host.read(path, NVRAM_BYTES_MAX) {
            Ok(content) => files.push(DescribingFile {
                name: NVRAM_FILE.into(),
                content,
            }),
            Err(error) => findings.push(Finding::warning(format!(
                "the firmware's variables in {} are not kept: {}",
                path.display(),
                reason(&error)
            ))),
        }
    }
    if definition.has_tpm {
        let text = "the state of the TPM is not kept: secrets bound to it are lost on a restore";
        findings.push(Finding::warning(text));
    }
    (files, findings)
}

/// The innermost reason, which stands alone.
fn reason(error: &lifeboat_platform::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

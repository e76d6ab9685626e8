//! Extended attributes of an opened file.

use rustix::io::Errno;

use crate::wire::Attribute;

/// Linux allows 64 KiB of names and as much for each value.
const BYTES_MAX: usize = 64 << 10;
/// All together must fit into a frame with the rest of an entry.
const TOTAL_BYTES_MAX: usize = 900 << 10;

/// Reads all attributes of what is at `path`, sorted; says what could not be read.
pub(super) fn read(path: &str, faults: &mut Vec<String>) -> Vec<Attribute> {
    let mut names = vec![0; BYTES_MAX];
    let length = match rustix::fs::listxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Vec::new(),
        Err(error) => {
            faults.push(format!("its attributes cannot be listed: {error}"));
            return Vec::new();
        }
    };
    let mut attributes = Vec::new();
    let mut total = 0;
    let mut value = vec![0; BYTES_MAX];
    let names = names[..length].split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty()) {
        match rustix::fs::getxattr(path, name, &mut value[..]) {
            Ok(length) if total + name.len() + length <= TOTAL_BYTES_MAX => {
                total += name.len() + length + 8;
                attributes.push(Attribute {
                    name: name.to_vec(),
                    value: value[..length].to_vec(),
                });
            }
            Ok(_) => faults.push("it has more attributes than Linux allows".into()),
            // Some file systems list what has no value.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => {
                let name = name.escape_ascii();
                faults.push(format!("attribute {name} cannot be read: {error}"));
            }
        }
    }
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes.dedup_by(|a, b| a.name == b.name);
    attributes
}

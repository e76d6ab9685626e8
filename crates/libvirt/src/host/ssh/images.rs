//! Images at another host, shown by a QEMU server there that reads them.
//!
//! The server is told to let others write: a machine may be started meanwhile, which shows
//! afterwards. That nobody writes at the beginning is asked before.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_disk::{DiskReader, ImageFormat};
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::live::{Complaints, Live, READY, WAIT};
use super::refusal::complained;
use super::{Forward, Ssh};
use crate::exported;
use crate::host::{
    CHAIN_MAX, FileKind, Host, Image, OpenedImage, SEVERAL_IMAGES, Watched, written_meanwhile,
};

/// The name of every export.
pub(super) const EXPORT: &str = "disk";
const LOST: &str = "the connection to the other host was lost; see whether it can be reached, \
                    and run the backup again";
/// Says what changes with every write to `$1`; waits until a write in the same step of the file
/// system's clock would show.
const STATE: &str = "
if [ -b \"$1\" ]; then
  sync -- \"$1\" && n=$(stat -L -c '%t %T' -- \"$1\") || exit 1
  d=/sys/dev/block/$((0x${n% *})):$((0x${n#* }))/stat
  read -r a b c d e f written rest < \"$d\" || exit 1
  echo \"device $written\"; exit 0
fi
i=0
while :; do
  s=$(stat -L -c '%s %.9Y' -- \"$1\") || exit 1
  m=${s#* }; age=$(($(date +%s%N) - ${m%.*}${m#*.}))
  [ -n \"$2\" ] || break
  [ \"$age\" -lt 50000000 ] && [ \"$age\" -gt -50000000 ] || break
  i=$((i + 1)); [ \"$i\" -lt 40 ] || { echo busy; exit 0; }
  sleep 0.05
done
echo \"file $s\"
";
/// Starts a server with the arguments; ends it, and waits for that, when it is not wanted.
const SERVE: &str = "
d=$(mktemp -d \"${TMPDIR:-/tmp}/lifeboat-XXXXXXXXXX\") || exit 1
trap 'rm -rf -- \"$d\"' EXIT
trap 'exit 1' HUP INT TERM PIPE
qemu-nbd -t -e 8 -k \"$d/s\" \"$@\" </dev/null >&2 &
child=$!
until [ -S \"$d/s\" ]; do
  kill -0 \"$child\" 2>/dev/null || { wait \"$child\"; exit; }
  sleep 0.05
done
";
const SERVE_END: &str = "
kill \"$child\" 2>/dev/null
wait \"$child\"
";

/// The state of an image at the other end, as a script says it.
pub(super) struct StillImage {
    ssh: Ssh,
    path: PathBuf,
    state: Vec<u8>,
}

/// An image that was looked at.
pub(super) struct OtherImage {
    ssh: Ssh,
    path: PathBuf,
    format: ImageFormat,
    facts: Facts,
}

/// What `qemu-img info` says of one image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Facts {
    virtual_size: u64,
    backing_filename: Option<String>,
    backing_filename_format: Option<String>,
    format_specific: Option<Specific>,
}

#[derive(Debug, Deserialize)]
struct Specific {
    data: SpecificData,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecificData {
    data_file: Option<String>,
    #[serde(default)]
    bitmaps: Vec<Bitmap>,
}

#[derive(Debug, Deserialize)]
struct Bitmap {
    name: String,
    flags: Vec<String>,
}

/// A server and the way to it; the server ends after the last connection to it.
pub(super) struct Served {
    forward: Forward,
    live: Live,
}

impl Served {
    /// Starts `qemu-nbd` with more arguments and a description of the image.
    pub(super) fn start(ssh: &Ssh, path: &Path, more: &[&str], image: &Value) -> Result<Self> {
        let text = format!("json:{image}");
        let mut words: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
        words.extend(["-x", EXPORT, &text].map(OsStr::new));
        let script = format!("{SERVE}printf '{READY}%s\\n' \"$d/s\"{WAIT}{SERVE_END}");
        let live = ssh.live(("opening the disk", path), &script, &words)?;
        let forward = ssh.forward(Path::new(live.said()))?;
        Ok(Self { forward, live })
    }

    pub(super) fn socket(&self) -> &Path {
        self.forward.path()
    }

    /// What the server complains, as the error of opening the disk; the given one if nothing.
    pub(super) fn failed(complaints: &Complaints, path: &Path, error: Error) -> Error {
        match complaints.text() {
            text if text.is_empty() => error,
            text => complained(&text, "opening the disk", &path.display().to_string()),
        }
    }

    pub(super) fn complaints(&self) -> Complaints {
        self.live.complaints().clone()
    }

    /// Reads what the server shows; it listens before it has opened the image.
    fn open(self, path: &Path, bitmap: Option<&str>) -> Result<exported::Opened> {
        let (socket, complaints) = (self.socket().to_owned(), self.complaints());
        let opened = exported::open(&socket, EXPORT, bitmap, LOST, Box::new(self));
        opened.map_err(|error| Self::failed(&complaints, path, error))
    }

    /// Lets the server close the image, and waits for that.
    pub(super) fn end(self, path: &Path) -> Result<()> {
        self.live
            .end("closing the disk", &path.display().to_string())
    }
}

impl StillImage {
    pub(super) fn watch(ssh: &Ssh, path: &Path) -> Result<Self> {
        let state = state(ssh, path, "wait")?;
        if state == b"busy\n" {
            return Err(written_meanwhile(path));
        }
        Ok(Self {
            ssh: ssh.clone(),
            path: path.to_owned(),
            state,
        })
    }
}

impl Watched for StillImage {
    fn is_same(&self) -> Result<bool> {
        Ok(state(&self.ssh, &self.path, "")? == self.state)
    }
}

fn state(ssh: &Ssh, path: &Path, wait: &str) -> Result<Vec<u8>> {
    let words = [path.as_os_str(), OsStr::new(wait)];
    ssh.run(("looking at", path), STATE, &words)
}

impl OtherImage {
    pub(super) fn of(ssh: &Ssh, path: &Path, format: ImageFormat, backing: &Path) -> Result<Self> {
        let facts = Facts::of(ssh, path, format)?;
        refuse_elsewhere(ssh, path, &facts, backing)?;
        Ok(Self {
            ssh: ssh.clone(),
            path: path.to_owned(),
            format,
            facts,
        })
    }

    /// Why the bits of a bitmap cannot be had; nothing if they can.
    fn refusal(&self, name: &str) -> Option<String> {
        if self.facts.backing_filename.is_some() {
            return Some(format!("the bitmap {name} {SEVERAL_IMAGES}"));
        }
        let specific = self.facts.format_specific.as_ref();
        let bitmaps = specific.map_or(&[][..], |it| &it.data.bitmaps);
        match bitmaps.iter().find(|it| it.name == name) {
            None => Some(format!("the image has no bitmap {name}")),
            Some(it) if it.flags.iter().any(|flag| flag == "in-use") => Some(format!(
                "the bitmap {name} was not saved: a QEMU ended without saving it"
            )),
            Some(_) => None,
        }
    }
}

impl Image for OtherImage {
    fn size(&self) -> u64 {
        self.facts.virtual_size
    }

    fn open(self: Box<Self>, bitmap: Option<&str>) -> Result<OpenedImage> {
        let refusal = bitmap.and_then(|name| self.refusal(name));
        let wanted = bitmap.filter(|_| refusal.is_none());
        let mut more = vec!["-r"];
        more.extend(wanted.iter().flat_map(|name| ["-B", *name]));
        let image = described(&self.ssh, &self.path, self.format, Sharing::WithWriters)?;
        let served = Served::start(&self.ssh, &self.path, &more, &image)?;
        let opened = served.open(&self.path, wanted)?;
        let changed = match (refusal, wanted, opened.changed) {
            (Some(reason), ..) => Some(Err(reason)),
            (None, Some(_), Some(changed)) => Some(Ok(changed)),
            (None, Some(name), None) => Some(Err(format!("QEMU does not show the bitmap {name}"))),
            (None, None, _) => None,
        };
        Ok(OpenedImage {
            reader: opened.reader,
            changed,
        })
    }
}

impl Facts {
    /// Errors: `Busy` if somebody has it open for writing.
    fn of(ssh: &Ssh, path: &Path, format: ImageFormat) -> Result<Self> {
        let text = format!("json:{}", described(ssh, path, format, Sharing::Alone)?);
        let words = [OsStr::new(&text)];
        let script = "exec qemu-img info --output=json -- \"$1\"";
        let said = ssh.run(("opening the disk", path), script, &words)?;
        serde_json::from_slice(&said).map_err(|cause| {
            Error::new(
                ErrorKind::Corrupt,
                "opening the disk",
                path.display().to_string(),
            )
            .seen("qemu-img describes it strangely")
            .because(cause)
        })
    }
}

/// Follows the names in an image down to the last one, before QEMU does.
///
/// Errors: `Denied` for what may not be followed.
fn refuse_elsewhere(ssh: &Ssh, path: &Path, facts: &Facts, below: &Path) -> Result<()> {
    let below = real(ssh, below)?;
    let mut named = Named::of(path, facts)?;
    for _ in 0..CHAIN_MAX {
        let Some((name, format)) = named else {
            return Ok(());
        };
        let found = real(ssh, &name)?;
        if !found.starts_with(&below) {
            return Err(denied(path).seen(format!(
                "its backing file {} is not below {}",
                found.display(),
                below.display()
            )));
        }
        named = Named::of(&name, &Facts::of(ssh, &name, format)?)?;
    }
    Err(denied(path).seen(format!("its backing files are deeper than {CHAIN_MAX}")))
}

fn denied(path: &Path) -> Error {
    Error::new(
        ErrorKind::Denied,
        "opening the disk",
        path.display().to_string(),
    )
}

/// What an image names as its backing.
struct Named;

impl Named {
    fn of(path: &Path, facts: &Facts) -> Result<Option<(PathBuf, ImageFormat)>> {
        let specific = facts.format_specific.as_ref();
        if specific.is_some_and(|it| it.data.data_file.is_some()) {
            return Err(denied(path).seen("its data is in another file; start the machine"));
        }
        let Some(name) = &facts.backing_filename else {
            return Ok(None);
        };
        // With a colon before the first slash QEMU takes it for a protocol.
        if name.split('/').next().is_some_and(|it| it.contains(':')) {
            return Err(denied(path).seen("its backing file is no plain path; start the machine"));
        }
        let name = path.parent().unwrap_or(path).join(name);
        let format = facts.backing_filename_format.as_deref().unwrap_or_default();
        let format = format.parse().map_err(|cause| {
            denied(path)
                .seen("its backing file has no stated format; set it with qemu-img rebase -u -F")
                .because(cause)
        })?;
        Ok(Some((name, format)))
    }
}

fn real(ssh: &Ssh, path: &Path) -> Result<PathBuf> {
    let script = "exec realpath -z -e -- \"$1\"";
    let said = ssh.run(("looking for", path), script, &[path.as_os_str()])?;
    let said = said.strip_suffix(&[0]).unwrap_or(&said).to_vec();
    Ok(PathBuf::from(OsString::from_vec(said)))
}

/// Whether an image may be written by others meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    WithWriters,
    Alone,
}

/// An image as QEMU is told of it: no letter of a path has a meaning there.
pub(super) fn described(
    ssh: &Ssh,
    path: &Path,
    format: ImageFormat,
    sharing: Sharing,
) -> Result<Value> {
    let kind = match ssh.kind(path)? {
        FileKind::Device => "host_device",
        _ => "file",
    };
    let mut image = json!({
        "driver": format.to_string(),
        "file": {"driver": kind, "filename": path.to_string_lossy()},
    });
    if let (Sharing::WithWriters, Some(image)) = (sharing, image.as_object_mut()) {
        image.insert("force-share".into(), Value::Bool(true));
    }
    Ok(image)
}

/// Reads an image that was made; nobody writes to it.
pub(super) fn read(ssh: &Ssh, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>> {
    let image = described(ssh, path, format, Sharing::Alone)?;
    let served = Served::start(ssh, path, &["-r"], &image)?;
    Ok(served.open(path, None)?.reader)
}

//! The door, opened at another host: scripts of a few lines for a POSIX shell with coreutils and
//! util-linux.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_model::{Clock, ErrorKind};
use lifeboat_platform::{Error, Result};

use super::live::{Live, READY, WAIT};
use super::{Ssh, images, writer};
use crate::host::{FileKind, HeldLock, Host, Image, Reached, SeenLock, Watched, refuse_large};

/// A question goes over the network and starts processes there.
const PAUSE: Duration = Duration::from_secs(2);

/// Gives `$1` to the owner of `$2`.
const HAND_OVER: &str = "
u=$(stat -L -c %u -- \"$2\") && v=$(stat -c %u -- \"$1\") || exit 1
[ \"$u\" = \"$v\" ] || chown --reference=\"$2\" -- \"$1\"
";

impl HeldLock for Live {
    fn is_held(&self) -> bool {
        self.is_alive()
    }
}

/// A failure to understand what a script said.
fn strange(doing: &'static str, path: &Path) -> Error {
    let error = Error::new(ErrorKind::Corrupt, doing, path.display().to_string());
    error.seen("the other host answers strangely; see what its shell prints at login")
}

impl Host for Ssh {
    fn require(&self) -> Result<()> {
        self.master().map(|_| ())
    }

    fn is_here(&self) -> bool {
        false
    }

    fn user_folder(&self, variable: &'static str, usual: &'static str) -> Result<PathBuf> {
        let about = ("looking for the home of", Path::new("the user"));
        let script = format!("printf '%s\\0%s' \"${{{variable}:-}}\" \"$HOME\"");
        let said = self.run(about, &script, &[])?;
        let mut parts = said.split(|byte| *byte == 0);
        let mut path = || PathBuf::from(OsString::from_vec(parts.next().unwrap_or(&[]).to_vec()));
        let (set, home) = (path(), path());
        match (set.is_absolute(), home.is_absolute()) {
            (true, _) => Ok(set),
            (false, true) => Ok(home.join(usual)),
            (false, false) => Err(strange(about.0, about.1)),
        }
    }

    fn kind(&self, path: &Path) -> Result<FileKind> {
        let about = ("looking at", path);
        let script = "if [ -d \"$1\" ]; then echo folder; elif [ -b \"$1\" ]; then echo device\n\
                      elif [ -e \"$1\" ] || [ -L \"$1\" ]; then echo other; else echo absent; fi";
        match self.run(about, script, &[path.as_os_str()])?.as_slice() {
            b"folder\n" => Ok(FileKind::Folder),
            b"device\n" => Ok(FileKind::Device),
            b"other\n" => Ok(FileKind::Other),
            b"absent\n" => Ok(FileKind::Absent),
            _ => Err(strange(about.0, path)),
        }
    }

    fn folders(&self, above: &Path, beginning: &str) -> Result<Vec<PathBuf>> {
        let script = "cd -- \"$1\" 2>/dev/null || exit 0\n\
                      for it in \"$2\"*; do [ -d \"$it\" ] && printf '%s\\0' \"$it\"; done; exit 0";
        let words = [above.as_os_str(), OsStr::new(beginning)];
        let said = self.run(("listing", above), script, &words)?;
        let names = said.split(|byte| *byte == 0).filter(|it| !it.is_empty());
        Ok(names
            .map(|name| above.join(OsString::from_vec(name.to_vec())))
            .collect())
    }

    fn make_folder(&self, above: &Path, path: &Path) -> Result<()> {
        let script = format!(
            "umask 066\n[ -d \"$2\" ] || mkdir -p -- \"$2\" || exit 1\nmkdir -- \"$1\" || exit 1\n\
             ({HAND_OVER}) || {{ rmdir -- \"$1\"; exit 1; }}"
        );
        let words = [path.as_os_str(), above.as_os_str()];
        self.run(("making the folder", path), &script, &words)
            .map(|_| ())
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> Result<()> {
        let script = format!(
            "set -C; : > \"$1\" || exit 1; set +C\n\
             cat > \"$1\" && sync -- \"$1\" && ({HAND_OVER}) || {{ rm -f -- \"$1\"; exit 1; }}"
        );
        let folder = path.parent().unwrap_or(path);
        let words = [path.as_os_str(), folder.as_os_str()];
        self.run_with(("writing", path), &script, &words, content)
            .map(|_| ())
    }

    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
        let most = (bytes_max + 1).to_string();
        let script = "exec head -c \"$2\" -- \"$1\"";
        let words = [path.as_os_str(), OsStr::new(&most)];
        let content = self.run(("reading", path), script, &words)?;
        refuse_large(path, content, bytes_max)
    }

    fn hand_over(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        let words = [path.as_os_str(), folder.as_os_str()];
        self.run(("handing over", path), HAND_OVER, &words)
            .map(|_| ())
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.run(("removing", path), "rm -f -- \"$1\"", &[path.as_os_str()])
            .map(|_| ())
    }

    fn remove_run(&self, folder: &Path, socket: Option<&Path>) -> Result<()> {
        let script = "if [ -n \"$2\" ] && [ -S \"$2\" ] && [ ! -L \"$2\" ]; then\n\
                      rm -f -- \"$2\" || exit 1; fi; rm -rf -- \"$1\"";
        let socket = socket.map(Path::as_os_str).unwrap_or_default();
        let words = [folder.as_os_str(), socket];
        self.run(("removing", folder), script, &words).map(|_| ())
    }

    fn free_bytes(&self, path: &Path) -> Result<u64> {
        let about = ("asking the free space of", path);
        let said = self.run(about, "stat -f -c '%a %S' -- \"$1\"", &[path.as_os_str()])?;
        let said = String::from_utf8_lossy(&said);
        let mut numbers = said.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(blocks)), Some(Ok(bytes))) => Ok(blocks.saturating_mul(bytes)),
            _ => Err(strange(about.0, path)),
        }
    }

    fn hold(&self, path: &Path, text: &str) -> Result<Box<dyn HeldLock>> {
        // Waits for whoever looks at it just now.
        let script = format!(
            "set -C; : > \"$1\" || exit 1; set +C\n\
             exec 9<>\"$1\" && flock -x 9 && printf '%s' \"$2\" >&9 || exit 1\n\
             echo '{READY}'{WAIT}"
        );
        let words = [path.as_os_str(), OsStr::new(text)];
        Ok(Box::new(self.live(("making", path), &script, &words)?))
    }

    fn look(&self, path: &Path) -> Result<Option<SeenLock>> {
        let script = "[ -f \"$1\" ] || { echo gone; exit 0; }; exec 9<\"$1\"\n\
                      if flock -n -x 9; then echo free; else echo held; fi; head -c 4096 <&9";
        let said = self.run(("looking at", path), script, &[path.as_os_str()])?;
        let said = String::from_utf8_lossy(&said);
        let (state, text) = said.split_once('\n').unwrap_or_default();
        let seen = |is_held| {
            Ok(Some(SeenLock {
                text: text.to_owned(),
                is_held,
            }))
        };
        match state {
            "gone" => Ok(None),
            "free" => seen(false),
            "held" => seen(true),
            _ => Err(strange("looking at", path)),
        }
    }

    fn reach(&self, socket: &Path) -> Result<Reached> {
        let forward = self.forward(socket)?;
        Ok(Reached {
            socket: forward.path().to_owned(),
            advice: "the connection to the other host was lost, or the backup job has ended: see \
                     whether the host can be reached and its machine still runs",
            _way: Some(Box::new(forward)),
        })
    }

    fn complaints(&self) -> String {
        let kept = self.0.master.lock();
        let kept = kept.unwrap_or_else(std::sync::PoisonError::into_inner);
        let text = kept.as_ref().map(|it| it.live.complaints().text());
        match text.filter(|it| !it.is_empty()) {
            Some(text) if text.contains("open failed") => format!(
                "the other host did not connect to QEMU's socket: see AllowStreamLocalForwarding \
                 in its sshd_config, and whether the user may use that socket, as root may \
                 ({})",
                super::shown(&text)
            ),
            Some(text) => format!("ssh says: {}", super::shown(&text)),
            None => String::new(),
        }
    }

    fn pause(&self) -> Duration {
        PAUSE
    }

    fn watch(&self, _clock: &dyn Clock, path: &Path) -> Result<Box<dyn Watched>> {
        Ok(Box::new(images::StillImage::watch(self, path)?))
    }

    fn image(&self, path: &Path, format: ImageFormat, backing: &Path) -> Result<Box<dyn Image>> {
        Ok(Box::new(images::OtherImage::of(
            self, path, format, backing,
        )?))
    }

    fn make_disk(
        &self,
        path: &Path,
        size: u64,
        format: ImageFormat,
    ) -> Result<Arc<dyn DiskWriter>> {
        Ok(Arc::new(writer::ExportWriter::create(
            self, path, size, format,
        )?))
    }

    fn overwrite_device(&self, path: &Path, size: u64) -> Result<Arc<dyn DiskWriter>> {
        Ok(Arc::new(writer::ExportWriter::overwrite(self, path, size)?))
    }

    fn read_disk(&self, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>> {
        images::read(self, path, format)
    }
}

//! The line that the shell of another host is given.
//!
//! ssh joins its words with spaces and gives them to the login shell, whatever that is. So the
//! line is the same few plain words for every shell, and what it is about travels in base64: a
//! script, and arguments that may hold any byte but NUL.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Runs before every script: messages in one language, and programs of the administrator.
const HEAD: &str = "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; umask 077\n";

/// The line that runs `script` in a POSIX shell with `arguments` as `$1`, `$2` and so on.
///
/// The script ends with a newline or not; its last command gives the exit code.
pub(crate) fn remote_line(script: &str, arguments: &[&OsStr]) -> String {
    let mut text = b"set --".to_vec();
    for argument in arguments {
        text.push(b' ');
        text.extend(quoted(argument));
    }
    text.push(b'\n');
    text.extend(HEAD.bytes());
    text.extend(script.bytes());
    let packed = STANDARD.encode(text);
    format!("exec sh -c 'eval \"$(echo {packed} | base64 -d)\"'")
}

/// One word for a POSIX shell, whatever bytes it has.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => out.extend(br"'\''"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn said(shell: &str, script: &str, arguments: &[&OsStr]) -> Vec<u8> {
        let line = remote_line(script, arguments);
        let output = Command::new(shell).arg("-c").arg(line).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        output.stdout
    }

    #[test]
    fn every_byte_reaches_the_script_as_it_is() {
        let every: Vec<u8> = (1..=255).chain([b'\'', b'\'', b'\\', b'\n']).collect();
        let hostile = [
            every.as_slice(),
            b"",
            b"$(touch /tmp/x) `id` ; exit 3 #",
            b"-rf",
            b"' -o '",
            b"\\'",
            b"!!\n\n",
        ];
        let words: Vec<_> = hostile.iter().map(|it| OsStr::from_bytes(it)).collect();
        let script = "for it in \"$@\"; do printf '%s\\0' \"$it\"; done";
        let mut expected = hostile.join(&0);
        expected.push(0);
        for shell in ["sh", "bash"] {
            assert_eq!(said(shell, script, &words), expected);
        }
    }

    #[test]
    fn the_line_itself_is_plain() {
        let line = remote_line("exit 0", &[OsStr::new("a'b\n$c")]);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "+/= $()|'\"-".contains(c);
        assert!(line.chars().all(is_plain), "{line}");
        assert_eq!(line.matches('\'').count(), 2);
    }
}

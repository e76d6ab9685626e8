#!/usr/bin/env python3
"""Makes a golden repository with a real restic.

    make.py RESTIC TARGET [REPOSITORY_VERSION]

Run as root on a file system with extended attributes and 64-bit times (tmpfs does).
The password of every repository here is "golden".
Made so: restic-0.14 and restic-0.14-v1 by restic 0.14.0 of Debian 12 (version 1 for the latter),
restic-0.19 by restic 0.19.1 of Debian unstable.
"""

import os
import random
import socket
import subprocess
import sys
import tempfile
import time

RESTIC, TARGET = sys.argv[1], os.path.abspath(sys.argv[2])
VERSION = sys.argv[3] if len(sys.argv) > 3 else "2"
ENVIRONMENT = dict(os.environ, RESTIC_PASSWORD="golden", TZ="Asia/Kolkata")

NAMES = [
    b"plain", b"with space", b'quote"d', b"it's", b"back\\slash", b"back\\\\twice", b"\\x41",
    b"new\nline", b"tab\tbed", b"bell\x07", b"back\x08space", b"feed\x0c", b"vert\x0b", b"cr\r",
    b"escape\x1b[0m", b"delete\x7f", b"one\x01", b"<html>&amp;", b"\xff", b"bad\xffmiddle",
    b"cut\xe2\x82", b"surrogate\xed\xa0\x80", b"overlong\xc0\xaf", b"beyond\xf4\x90\x80\x80",
    "umlaut äöü".encode(), "e\u0301 combining".encode(), "\u0301first".encode(),
    "nbsp\u00a0".encode(), "soft\u00adhyphen".encode(), "zero\u200bwidth".encode(),
    "line\u2028sep".encode(), "para\u2029sep".encode(), "rtl\u202eabc".encode(),
    "bom\ufeff".encode(), "replacement\ufffd".encode(), "private\ue000".encode(),
    "noncharacter\uffff".encode(), "face\U0001f600".encode(), "clef\U0001d11e".encode(),
    "tag\U000e0041".encode(), "last\U0010ffff".encode(), "日本語".encode(), "\u0378".encode(),
    b"-dash", b"...", b"~", b"%41", b"a:b", b"*?[", b" lead", b"trail ", b"x" * 255,
]
TARGETS = [
    b"plain", b"../<&>\"'\\", b"bad\xff\xfetarget", "\u2028 \ufffd é".encode(), b"a\nb\tc\x01\x7f",
    b"/" * 300,
]


def fill(root):
    os.mkdir(root + b"/names")
    for number, name in enumerate(NAMES):
        with open(root + b"/names/" + name, "wb") as file:
            file.write(b"content %d\n" % (number % 5) * (number % 3))
    os.mkdir(root + b"/links")
    for number, target in enumerate(TARGETS):
        os.symlink(target, root + b"/links/%d" % number)
    os.mkdir(root + b"/special")
    special = root + b"/special/"
    os.mkfifo(special + b"fifo")
    os.mknod(special + b"null", 0o20666, os.makedev(1, 3))
    os.mknod(special + b"disk", 0o60660, os.makedev(259, 70000))
    socket.socket(socket.AF_UNIX).bind(os.fsdecode(special + b"socket"))
    for number, mode in enumerate([0o0, 0o4755, 0o2755, 0o1777, 0o7777]):
        os.mkdir(special + b"mode%d" % number)
        os.chmod(special + b"mode%d" % number, mode)
    open(special + b"empty", "wb").close()
    open(special + b"one", "wb").write(b"hard link")
    os.link(special + b"one", special + b"two")
    open(special + b"owned", "wb").close()
    os.chown(special + b"owned", 12345, 4294967294)
    fill_times_and_attributes(special)
    fill_large(root)


def fill_times_and_attributes(special):
    second = 10**9
    for number, moment in enumerate([
        0, 1, -1, 1600000000 * second, 1600000000 * second + 120000000,
        1600000000 * second + 123456789, -10**10 * second, 253402300799 * second,
        400000000000 * second, -62135596800 * second, -62200000000 * second,
    ]):
        try:
            open(special + b"time%02d" % number, "wb").close()
            os.utime(special + b"time%02d" % number, ns=(0, moment))
        except OverflowError:
            moment = b"@%d" % (moment // second)
            subprocess.run([b"touch", b"-d", moment, special + b"time%02d" % number])
    open(special + b"attributes", "wb").close()
    for name, value in [(b"user.one", b"value"), (b"user.empty", b""),
                        (b"user.bytes", bytes(range(256))), ("user.ä<>".encode(), b"1"), (b"user.bad\xff", b"2")]:
        os.setxattr(special + b"attributes", name, value)


def fill_large(root):
    numbers = random.Random(53)
    with open(root + b"/large", "wb") as file:
        for _ in range(900 if VERSION == "2" else 20):
            block = numbers.randbytes(16)
            file.write(block * 256)
    with open(root + b"/zeros", "wb") as file:
        file.truncate(20 << 20 if VERSION == "2" else 100)
    with open(root + b"/random", "wb") as file:
        file.write(numbers.randbytes(5000))


def restic(*arguments):
    command = [RESTIC, "-q", "--no-cache", "-r", TARGET, *arguments]
    subprocess.run(command, env=ENVIRONMENT, check=True)


def leave_lock():
    backup = subprocess.Popen([RESTIC, "-q", "--no-cache", "-r", TARGET, "backup", "--stdin"],
                              stdin=subprocess.PIPE, env=ENVIRONMENT)
    while not os.listdir(TARGET + "/locks"):
        time.sleep(0.1)
    time.sleep(1)
    backup.kill()
    backup.wait()


with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
    source = os.fsencode(root) + b"/source"
    os.mkdir(source)
    fill(source)
    restic("init", "--repository-version", VERSION)
    backup = ["backup", "--host", "gold<en>", "--with-atime"]
    os.chdir(source)
    restic(*backup, ".")
    time.sleep(1)
    os.remove(b"plain" if os.path.exists(b"plain") else b"names/plain")
    restic(*backup, "--tag", "a&b,c", "--exclude", "*.tmp", "--exclude", "<x>", source)
    if VERSION == "2":
        os.mkdir(b"names/more")
        open(b"names/more/plain text", "wb").write(b"stored as it is" * 10)
        restic(*backup, "--compression", "off", ".")
    leave_lock()
for directory, _, files in os.walk(TARGET, topdown=False):
    for name in files:
        os.chmod(os.path.join(directory, name), 0o644)
    if not os.listdir(directory):
        os.rmdir(directory)

#!/usr/bin/env python3
"""A subscriber to a shmbus topic, with nothing but Python's standard library.

Written from docs/layout.md and docs/protocol.md alone, to prove that they are
enough; read it beside them. It polls instead of sleeping in the kernel, and does
not come back to a new host: its member lock says that it is alive.

    sub.py TOPIC [--lossy] [--from latest|earliest|SEQUENCE] [--count N] [--drain]

Messages go to standard output, a newline behind each; the last line on
standard error says how many were delivered and lost.
"""

import argparse
import array
import ctypes
import fcntl
import json
import mmap
import os
import platform
import secrets
import socket
import struct
import sys
import time

# ---------------------------------------------------------------- docs/layout.md

LOG_MAGIC = 0x31474F4C53424D53
CURSOR_MAGIC = 0x3152554353424D53
LAYOUT_VERSION = 1
PAGE = 4096
FREE, BUSY, COMMITTED, ABORTED, PAD = range(5)
U64 = 1 << 64


NUMBERS = {"x86_64": {"futex": 202, "membarrier": 324}, "aarch64": {"futex": 98, "membarrier": 283}}


def syscall(name, *args):
    """A system call that Python has no name for."""
    return ctypes.CDLL(None).syscall(NUMBERS[platform.machine()][name], *args)


class Corrupt(Exception):
    """The bytes of a region cannot be what the layout says."""


class Detached(Exception):
    """The topic went on without us."""


def before(a, b):
    """Whether position or sequence a comes before b; they wrap at 2^64."""
    return (a - b) % U64 >= U64 // 2


def region(fd, writable):
    """Maps a region whose seals say that nobody can cut it short."""
    need = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & need != need:
        raise Corrupt("a region is not sealed")
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return memoryview(mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=prot))


class Ring:
    """A topic's regions, and our place in them."""

    def __init__(self, log, cursors, grant):
        # Views of whole words: one element is read or written at once.
        self.log64, self.log32, self.log = log.cast("Q"), log.cast("I"), log
        self.cursors64 = cursors.cast("Q")
        self.space_doorbell = ctypes.c_uint32.from_buffer(cursors, 0x100)
        self.sleeps_seen = 0
        magic, version, _, capacity = struct.unpack_from("<QIIQ", log, 0)
        ident, schema, publishers, subscribers = struct.unpack_from("<QIII", log, 0x20)
        if magic != LOG_MAGIC:
            raise Corrupt(f"log region: magic {magic:#x}")
        if version != LAYOUT_VERSION:
            raise Corrupt(f"the ring has layout {version}, this program reads {LAYOUT_VERSION}")
        magic, version, slots, same = struct.unpack_from("<QIIQ", cursors, 0)
        if (magic, version, slots, same) != (CURSOR_MAGIC, LAYOUT_VERSION, subscribers, ident):
            raise Corrupt("the cursor region is not of this ring")
        if not 4096 <= capacity <= 1 << 32 or capacity & capacity - 1:
            raise Corrupt(f"capacity {capacity}")
        self.capacity, self.schema = capacity, schema
        self.data = PAGE + (publishers + 1) * PAGE
        if len(log) != self.data + capacity or len(cursors) != PAGE + subscribers * PAGE:
            raise Corrupt("a region is of the wrong size")
        self.slot, self.generation = grant["slot"], grant["generation"]
        self.position, self.sequence = grant["position"], grant["sequence"]
        self.block = (PAGE + self.slot * PAGE) // 8
        self.published = self.position
        self.delivered = self.lost = 0
        self.carry = 0  # lost before an aborted record, told with the next message

    def word(self):
        """The commit word at our position: whole word, state, extent, right tag."""
        at = self.data + self.position % self.capacity
        w = self.log64[at // 8]
        extent = (32 + (w & 0xFFFFFFFF) + 31) & ~31
        return at, w, w >> 32 & 15, extent, w >> 36 == self.position // 32 % (1 << 28)

    def fits(self, state, extent):
        most = self.capacity if state == PAD else self.capacity // 4
        return extent <= most and self.position % self.capacity + extent <= self.capacity

    def gated(self):
        return self.log32[0x800 // 4 + self.slot] == self.generation

    def publish_cursor(self):
        if self.published != self.position:
            self.cursors64[self.block + 1] = self.sequence
            self.cursors64[self.block] = self.position
            self.published = self.position
            sleeps = self.log64[0x500 // 8]
            if sleeps != self.sleeps_seen:
                # Not atomic: if it goes wrong, a publisher wakes 50 ms later.
                self.sleeps_seen = sleeps
                self.space_doorbell.value += 1
                syscall("futex", ctypes.byref(self.space_doorbell), 1, 0x7FFFFFFF, None, None, 0)

    def drained(self):
        """Whether there were publishers and are none now; look for records after."""
        return self.log64[0x108 // 8] > 0 and self.log64[0x118 // 8] == 0

    def step(self, extent):
        self.position = (self.position + extent) % U64

    def next_reliable(self):
        """The next payload, or None if there is nothing yet."""
        if (self.position - self.published) % U64 > self.capacity // 16:
            self.publish_cursor()
        while True:
            at, w, state, extent, ours = self.word()
            if w == 0 or ours and state == BUSY:
                self.publish_cursor()
                return None
            sequence = self.log64[at // 8 + 1]
            if not ours or state not in (COMMITTED, ABORTED, PAD) or not self.fits(state, extent) or sequence != self.sequence:
                if not self.gated():
                    raise Detached
                raise Corrupt(f"offset {at:#x}: commit word {w:#x}, sequence {sequence}")
            payload = bytes(self.log[at + 32 : at + 32 + (w & 0xFFFFFFFF)]) if state == COMMITTED else None
            if not self.gated():
                raise Detached
            self.step(extent)
            if state != PAD:
                self.sequence = (self.sequence + 1) % U64
            if state == COMMITTED:
                self.delivered += 1
                return payload

    def next_lossy(self):
        while True:
            at, w, state, extent, ours = self.word()
            known, payload = ours and self.fits(state, extent), None
            if known and state == COMMITTED:
                payload = bytes(self.log[at + 32 : at + 32 + (w & 0xFFFFFFFF)])
            sequence = self.log64[at // 8 + 1]
            claimed = self.log64[0x400 // 8]
            if before((self.position + self.capacity) % U64, claimed):
                self.resynchronise()
                continue
            if w == 0 or ours and state == BUSY:
                self.publish_cursor()
                return None
            if not known or state not in (COMMITTED, ABORTED, PAD) or before(sequence, self.sequence):
                raise Corrupt(f"offset {at:#x}: commit word {w:#x}, sequence {sequence}")
            self.step(extent)
            if state == PAD:
                continue
            self.carry += (sequence - self.sequence) % U64
            self.sequence = (sequence + 1) % U64
            if state == COMMITTED:
                self.lost += self.carry
                self.carry = 0
                self.delivered += 1
                return payload

    def resynchronise(self):
        floor = (self.log64[0x400 // 8] - self.capacity) % U64
        best = self.log64[0x380 // 8]
        for i in range(64):
            p = self.log64[0x600 // 8 + i]
            if p % 32 == 0 and not before(p, floor) and before(p, best):
                best = p
        if before(self.position, best):
            self.position = best


# -------------------------------------------------------------- docs/protocol.md

PROTOCOL_VERSION = 1


class Refused(Exception):
    """The host said no."""


def bus_directory(root, bus):
    """Opens the directory of a bus, which must be ours and nobody else's."""
    if not root:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        user = f"/run/user/{os.getuid()}"
        if os.getuid() == 0:
            root = "/run/shmbus"
        elif runtime:
            root = runtime + "/shmbus"
        elif os.path.isdir(user) and os.stat(user).st_uid == os.getuid():
            root = user + "/shmbus"
        else:
            root = f"/tmp/shmbus-{os.getuid()}"
    fd = os.open(os.path.join(root, bus), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    st = os.fstat(fd)
    if st.st_uid != os.geteuid() or st.st_mode & 0o077 not in (0, 0o050):
        raise Refused(f"{root}/{bus} is not ours alone")
    return fd


def join_members(directory):
    """Takes a member id: a byte of the members file, locked for life."""
    while True:
        fd = os.open("members", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
        inode = os.fstat(fd).st_ino
        member = secrets.randbits(46) << 16 | inode * 0x9E3779B97F4A7C15 % U64 >> 48
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, member, 1, 0))
            if member >> 16 and os.stat("members", dir_fd=directory, follow_symlinks=False).st_ino == inode:
                return member
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)


def register_membarrier():
    """Lets others order our memory accesses; needed on every topic not fenced."""
    register_global_expedited = 1 << 2
    return syscall("membarrier", register_global_expedited, 0, 0) == 0


class Control:
    """A connection to the host."""

    def __init__(self, directory):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(f"/proc/self/fd/{directory}/control.sock")
        credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("iII", credentials)[1] != os.geteuid():
            raise Refused("the host is another user's")
        self.id = 0

    def call(self, kind, **fields):
        """Sends a request; returns its answer and the descriptors that came along."""
        self.id += 1
        message = {"version": PROTOCOL_VERSION, "type": kind, "id": self.id, **fields}
        self.socket.send(json.dumps(message).encode())
        while True:
            raw, fds = self.receive()
            answer = json.loads(raw)
            if answer["version"] != PROTOCOL_VERSION:
                raise Refused(f"the host speaks protocol {answer['version']}, this program {PROTOCOL_VERSION}")
            if answer["type"] == "error" and answer["id"] in (0, self.id):
                raise Refused(f"{answer['message']} ({answer['code']})")
            if answer["id"] == self.id and answer["type"] != "waiting":
                return answer, fds

    def receive(self):
        raw, ancillary, flags, _ = self.socket.recvmsg(1 << 16, socket.CMSG_SPACE(8 * 4), socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % 4])
        if not raw or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise Refused("the connection ended")
        return raw, fds


def start_of(text):
    if text in ("latest", "earliest"):
        return {"from": text}
    return {"from": "sequence", "sequence": int(text)}


def subscribe(control, options):
    control.call("hello", member=options.member, program="sub.py", membarrier=register_membarrier())
    mode = "lossy" if options.lossy else "reliable"
    grant, fds = control.call("subscribe", topic=options.topic, mode=mode, start=start_of(options.start))
    regions = dict(zip(grant["regions"], fds))
    ring = Ring(region(regions["log"], False), region(regions["cursors"], True), grant)
    for fd in fds:
        os.close(fd)  # the mappings stay
    return ring, grant


def read(ring, options, out):
    """Writes messages until the count is reached or the topic is drained."""
    following = ring.next_lossy if options.lossy else ring.next_reliable
    pause, ended = 0.0, False
    while not options.count or ring.delivered < options.count:
        payload = following()
        if payload is not None:
            out.write(payload + b"\n")
            pause, ended = 0.0, False
            continue
        if ended:
            return
        ended = options.drain and ring.drained()  # then look once more
        if not ended:
            out.flush()
            time.sleep(pause)
            pause = min(pause + 0.0001, 0.01)
    ring.publish_cursor()


def main():
    parser = argparse.ArgumentParser(description="Write the messages of a shmbus topic to standard output.")
    parser.add_argument("topic")
    parser.add_argument("--bus", default=os.environ.get("SHMBUS_BUS", "default"))
    parser.add_argument("--dir", default=os.environ.get("SHMBUS_DIR"))
    parser.add_argument("--lossy", action="store_true")
    parser.add_argument("--from", dest="start", default="latest")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--drain", action="store_true")
    options = parser.parse_args()
    directory = bus_directory(options.dir, options.bus)
    options.member = join_members(directory)
    control = Control(directory)
    ring, grant = subscribe(control, options)
    read(ring, options, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    try:
        control.call("release", **{name: grant[name] for name in ("topic", "ring", "role", "slot", "generation")})
        control.call("bye")
    except (OSError, Refused):
        pass  # that host is gone; the next one finds our member lock free
    print(f"delivered {ring.delivered}, lost {ring.lost}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (Refused, Corrupt, OSError) as e:
        sys.exit(f"sub.py: {e}")
    except Detached:
        sys.exit("sub.py: detached: the topic went on without us")

#!/usr/bin/env python3
"""A subscriber of the shmbus bus: standard library only, written from docs/layout.md and docs/protocol.md.

For amd64: there every aligned load is an acquire and every aligned store a release. It polls instead of sleeping
on futexes, and never hosts the bus: it waits until somebody does.
"""
import argparse, ctypes, fcntl, json, mmap, os, platform, random, secrets, select, signal, socket, stat, struct, sys, time

M64 = (1 << 64) - 1
BUSY, COMMITTED, ABORTED, PAD = 1, 2, 3, 4
libc = ctypes.CDLL(None, use_errno=True)
SYS_membarrier, SYS_futex = {"x86_64": (324, 202), "aarch64": (283, 98)}[platform.machine()]

class Failed(Exception): """The end, with a reason for people."""
class HostGone(Exception): """The connection to the host has ended, or there is none to be had."""
class TimeUp(Exception): """--timeout is over."""

def before(a, b):
    """Positions and sequences wrap at 2^64: a is before b when (i64)(a - b) < 0."""
    return (a - b) & M64 >= 1 << 63

def bus_dir(root, name):
    uid = os.getuid()
    env, run = os.environ.get, f"/run/user/{uid}"
    root = root or env("SHMBUS_DIR") or uid == 0 and "/run/shmbus" or (x := env("XDG_RUNTIME_DIR")) and x + "/shmbus"
    if not root and os.path.isdir(run) and os.stat(run).st_uid == uid:
        root = run + "/shmbus"
    return os.path.join(root or f"/tmp/shmbus-{uid}", name or env("SHMBUS_BUS") or "default")

class Client:
    """One connection to the host, with the directory and the member lock that outlive it."""
    def __init__(self, path, deadline):
        self.path, self.deadline = path, deadline
        self.dirfd = self.sock = None
        self.member = self.last_id = 0
        self.barrier = libc.syscall(SYS_membarrier, 4, 0, 0) == 0  # 4: REGISTER_GLOBAL_EXPEDITED

    def open_dir(self):
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:  # nobody has made the bus yet
            raise HostGone
        st = os.fstat(fd)
        mode = stat.S_IMODE(st.st_mode)
        if st.st_uid != os.getuid() or mode != 0o700 and not (mode == 0o750 and self.group(fd) == st.st_gid):
            raise Failed(f"{self.path}: not a private directory of ours")
        fcntl.flock(fd, fcntl.LOCK_SH)  # old files are not cleaned away beneath us
        self.dirfd = fd

    def group(self, fd):
        """The group whose members may be guests, if the directory says so."""
        try:
            with open(os.open(".group", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)) as f:
                return int(f.read())
        except (OSError, ValueError):
            return -1

    def lock_member(self):
        """Takes a member id: the lock on its byte of `members` proves that this process lives."""
        while not self.member:
            fd = os.open("members", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self.dirfd)
            ino = os.fstat(fd).st_ino
            low = (ino * 0x9E3779B97F4A7C15 & M64) >> 48
            member = (secrets.randbelow((1 << 46) - 1) + 1) << 16 | low
            try:  # struct flock: type, whence, start, len, pid (0 for OFD locks)
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, member, 1, 0))
                if os.stat("members", dir_fd=self.dirfd, follow_symlinks=False).st_ino == ino:
                    self.member = member
                    return  # and never close fd
            except (BlockingIOError, PermissionError, FileNotFoundError):
                pass
            os.close(fd)

    def connect(self, returning=False):
        """Connects and says hello. Raises HostGone where there is no host."""
        self.sock = None  # closes the old one
        if self.dirfd is None:
            self.open_dir()
        self.lock_member()
        s = self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if s.connect_ex(f"/proc/self/fd/{self.dirfd}/control.sock"):
            raise HostGone
        if struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] not in (os.getuid(), 0):
            raise Failed("the host is another user")
        self.ask("hello", member=self.member, program="sub.py", membarrier=self.barrier, returning=returning)

    def ask(self, kind, fds=(), **fields):
        """Sends a request and waits for its answer: (message, descriptors)."""
        self.last_id += 1
        packet = json.dumps({"version": 1, "type": kind, "id": self.last_id, **fields}).encode()
        try:
            socket.send_fds(self.sock, [packet], list(fds))
            while True:
                if not select.select([self.sock], [], [], max(0, self.deadline - time.monotonic()))[0]:
                    raise TimeUp
                msg, fds = self.receive()
                if msg["id"] == self.last_id and msg["type"] != "waiting":
                    break
        except (OSError, AttributeError):  # the connection ended, or there is none
            raise HostGone
        if msg["type"] == "error":
            if msg["code"] in ("closed", "canceled"):  # this host is leaving: another one may come
                raise HostGone
            raise Failed(f"{msg['code']}: {msg['message']}")
        return msg, fds

    def receive(self):
        data, fds, flags, _ = socket.recv_fds(self.sock, 65536, 8, socket.MSG_CMSG_CLOEXEC)
        if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise HostGone
        return json.loads(data), fds

    def host_left(self):
        """True if there is no connection any more. Looks without waiting: nothing is expected but the end."""
        try:
            if self.sock and select.select([self.sock], [], [], 0)[0]:
                self.receive()
        except (OSError, HostGone):
            self.sock = None
        return self.sock is None

class Ring:
    """The regions of a topic, and this subscriber's place in them."""
    def __init__(self, grant, fds, lossy, times):
        self.grant, self.fds, self.lossy, self.times = grant, fds, lossy, times
        self.name = {k: grant[k] for k in ("topic", "ring", "role", "slot", "generation")}
        log, cur = (fds[grant["regions"].index(name)] for name in ("log", "cursors"))
        seals = []
        for fd in (log, cur):  # 1034: F_GET_SEALS; 7: SEAL, SHRINK, GROW; 32: EXEC. From here on the sizes are fixed
            seals.append(fcntl.fcntl(fd, 1034) & ~32)
            if seals[-1] & 7 != 7 or os.fstat(fd).st_size < 8192:
                raise Failed("a region is not sealed, or too small")
        self.log_map = mmap.mmap(log, 0, mmap.MAP_SHARED, mmap.PROT_READ)
        self.cur_map = mmap.mmap(cur, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # Items of a memoryview with a native format are read and written whole; struct's "<Q" goes byte by byte.
        q, i = self.q, self.i = memoryview(self.log_map).cast("Q"), memoryview(self.log_map).cast("I")
        self.cq, self.ci = memoryview(self.cur_map).cast("Q"), memoryview(self.cur_map).cast("I")
        self.cap, pubs, subs = q[0x10 // 8], i[0x2c // 4], i[0x30 // 4]
        cap, self.data, slot = self.cap, 4096 + (pubs + 1) * 4096, grant["slot"]
        self.exclusive = i[3] & 2 != 0
        if seals != [23 if self.exclusive else 7, 7]:  # 16: FUTURE_WRITE
            raise Failed("a region has other seals")
        if (q[0] != 0x31474f4c53424d53 or i[2] != 2 or self.cq[0] != 0x3152554353424d53 or self.ci[2] != 2
                or q[4] != grant["ring"] or self.cq[2] != grant["ring"] or self.ci[3] != subs
                or not 4096 <= cap <= 1 << 32 or cap & (cap - 1) or not 1 <= pubs <= 64 or not slot < subs <= 256
                or len(self.log_map) != self.data + cap or len(self.cur_map) != 4096 + (subs + 2) * 4096):
            raise Failed("these are not the regions of a ring of layout 2")
        self.pos, self.seq = grant["position"], grant["sequence"]
        self.gate, self.block = 0x800 // 4 + slot, (0x1000 + slot * 0x1000) // 8
        self.slot, self.number = slot, self.ci[0x400 // 4 + slot]  # of an exclusive ring: by which it holds the publisher back
        self.bell_addr = ctypes.addressof(ctypes.c_uint32.from_buffer(self.cur_map, 0x100))
        self.delivered = self.lost = 0
        self.sleeps = None  # "space sleeps" when we looked last

    def publish_cursor(self):
        """Everything before the cursor may be overwritten from here on."""
        cq, b = self.cq, self.block
        cq[b + 0x100 // 8], cq[b + 0x118 // 8] = self.delivered, self.lost  # for people who look
        cq[b + 1] = self.seq  # before the position
        cq[b] = self.pos
        if not self.lossy and (sleeps := self.q[0x500 // 8]) != self.sleeps:
            self.sleeps = sleeps
            # Not an atomic addition: another's may be lost, and a publisher then looks again after 50 ms.
            self.ci[0x100 // 4] = (self.ci[0x100 // 4] + 1) & 0xffffffff
            libc.syscall(SYS_futex, ctypes.c_void_p(self.bell_addr), 1, 0x7fffffff, None, None, 0)  # 1: FUTEX_WAKE

    def ended(self):
        """The one publisher of an exclusive topic has gone."""
        return self.exclusive and self.ci[0x278 // 4] != 0

    def look(self, pos):
        """The record at pos: (state, sequence, extent, payload). State 0: none yet. State None: not a valid record."""
        ended = self.ended()  # before the word: what is BUSY behind it stays so
        at = self.data + (off := pos & (self.cap - 1))
        if (word := self.q[at // 8]) == 0:
            return 0, 0, 0, b""
        state, length = word >> 32 & 15, word & 0xffffffff
        ext = 32 + length + 31 & ~31
        if (word >> 36 != pos // 32 & 0xfffffff or not BUSY <= state <= PAD or off + ext > self.cap
                or ext > (self.cap if state == PAD else self.cap // 4)):
            return None, 0, 0, b""
        if ended and state == BUSY:
            state = ABORTED
        body = self.log_map[at + 32:at + 32 + length] if state == COMMITTED else b""  # a copy
        if self.times and state == COMMITTED:
            body = b"%.6f " % self.when(self.q[at // 8 + 2]) + body
        return state, self.q[at // 8 + 1], ext, body

    def when(self, stamp):
        """A publish time in seconds since 1970; 0 if there is none."""
        cq, n = self.cq, -1
        while stamp and self.q[0x80 // 8] and n != cq[0x800 // 8]:  # not nanoseconds but a counter: the host has the scale
            n = cq[0x800 // 8]
            counter, nanos, multiplier = cq[(at := 0x808 // 8 + n % 2 * 3):at + 3]
        if n >= 0:
            stamp = nanos + ((stamp - counter + (1 << 63) & M64) - (1 << 63)) * multiplier // (1 << 32)
        return stamp and (stamp + time.time_ns() - time.monotonic_ns()) / 1e9

    def check_gate(self):
        if self.exclusive:
            gates = 0 != self.number == self.ci[0x400 // 4 + self.slot] and self.i[self.gate] != self.number
        else:
            gates = self.i[self.gate] == self.grant["generation"]
        if not gates:
            raise Failed("detached: the topic no longer waits for this subscriber")

    def read_reliable(self, most):
        """Up to `most` payloads, from about 1/16 of the ring, and whether it got on at all."""
        out, pos, seq = [], self.pos, self.seq
        while len(out) < most and (pos - self.pos) & M64 < self.cap // 16:
            state, found, ext, body = self.look(pos)
            if state in (0, BUSY):
                break
            if state is None or found != seq:
                self.check_gate()  # detached explains it
                raise Failed(f"corrupt ring at position {pos}")
            if state == COMMITTED:
                out.append(body)
            pos, seq = (pos + ext) & M64, (seq + (state != PAD)) & M64
        self.check_gate()  # after reading, before anything is believed
        more, self.pos, self.seq = pos != self.pos, pos, seq
        return out, more

    def read_lossy(self, most):
        """The same, where anything may be overwritten while it is read."""
        out, start = [], self.pos
        while len(out) < most and (self.pos - start) & M64 < self.cap // 16:
            pos = self.pos
            state, seq, ext, body = self.look(pos)
            if before(pos + self.cap, self.q[0x400 // 8]):  # claimed: we were overrun, forget all that
                self.resynchronise()
                continue
            if state in (0, BUSY):
                break
            if state is None:
                raise Failed(f"corrupt ring at position {pos}")
            self.pos = (pos + ext) & M64
            if state != PAD:
                self.lost += (seq - self.seq) & M64
                self.seq = (seq + 1) & M64
            if state == COMMITTED:
                out.append(body)
        return out, self.pos != start

    def resynchronise(self):
        """Goes to the earliest record that stands: from the tail and the sparse index."""
        oldest = (self.q[0x400 // 8] - self.cap) & M64
        places = [self.q[0x380 // 8], *self.q[0x600 // 8:0x800 // 8]]
        ahead = [(p - oldest) & M64 for p in places if p % 32 == 0 and not before(p, oldest)]
        if ahead and before(self.pos, first := (oldest + min(ahead)) & M64):
            self.pos = first

    def drained(self):
        """There was a publisher, there is none; and then, in that order, nothing to read."""
        gone = self.ended() if self.exclusive else self.q[0x108 // 8] > 0 and self.q[0x118 // 8] == 0
        return gone and self.look(self.pos)[0] == 0

def subscribe(client, args):
    """Waits for a host, then for the topic."""
    mode = "lossy" if args.lossy else "reliable"
    while True:
        try:
            client.connect()
            grant, fds = client.ask("subscribe", topic=args.topic, mode=mode, start={"from": args.start})
            return Ring(grant, fds, args.lossy, args.times)
        except HostGone:
            if time.monotonic() > client.deadline:
                raise TimeUp
            time.sleep(random.uniform(0.001, 0.020))

def come_back(client, ring):
    """After the host went: offers the slot to the new one, if there is one yet."""
    try:
        client.connect(returning=True)
        client.ask("offer", ring.fds, **ring.name)
        client.ask("ready")
    except HostGone:
        client.sock = None

def run(client, ring, args):
    out, retry = sys.stdout.buffer, 0.0
    read = ring.read_lossy if args.lossy else ring.read_reliable
    while args.count is None or ring.delivered < args.count:
        msgs, more = read(1 << 30 if args.count is None else args.count - ring.delivered)
        out.write(b"".join(m + b"\n" for m in msgs))
        ring.delivered += len(msgs)
        if time.monotonic() > client.deadline:
            raise TimeUp
        out.flush()
        ring.publish_cursor()
        if more:
            continue
        if (args.drain or ring.exclusive) and ring.drained():
            if args.drain:
                break
            raise Failed("the publisher of the exclusive topic has gone")
        if client.host_left() and time.monotonic() >= retry:
            come_back(client, ring)
            retry = time.monotonic() + random.uniform(0.001, 0.020)
        time.sleep(0.001)

def interrupted(signum, _):
    signal.signal(signum, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt

def main():
    p = argparse.ArgumentParser(description="Write the messages of a topic to standard output, a line each.")
    p.add_argument("--dir")
    p.add_argument("--bus")
    p.add_argument("--lossy", action="store_true")
    p.add_argument("--drain", action="store_true")
    p.add_argument("--times", action="store_true", help="begin each line with the publish time")
    p.add_argument("--count", type=int)
    p.add_argument("--from", dest="start", choices=["latest", "earliest"], default="latest")
    p.add_argument("--timeout", type=float)
    p.add_argument("topic")
    args = p.parse_args()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, interrupted)
    client = Client(bus_dir(args.dir, args.bus), time.monotonic() + (args.timeout or 1e8))
    ring, code = None, 0
    try:
        run(client, ring := subscribe(client, args), args)
    except TimeUp:
        code = 124
    except KeyboardInterrupt:
        code = 130
    except Failed as e:
        code = 1
        print(f"sub.py: {e}", file=sys.stderr)
    try:  # Leave: the slot first, then the bus. Without a host, the end of the member lock says it all.
        client.deadline = time.monotonic() + 2
        if ring:
            client.ask("release", **ring.name)
        client.ask("bye")
    except (HostGone, TimeUp, Failed):
        pass
    print("delivered %d, lost %d" % ((ring.delivered, ring.lost) if ring else (0, 0)), file=sys.stderr)
    sys.exit(code)

if __name__ == "__main__":
    main()

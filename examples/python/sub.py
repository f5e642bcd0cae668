#!/usr/bin/env python3
"""A subscriber to a shmbus topic, with nothing but Python's standard library.

Written from docs/layout.md and docs/protocol.md alone, to prove that they are
enough; read it beside them. It polls instead of sleeping in the kernel, which
costs a little time per idle second and saves a membarrier and a futex.

    sub.py TOPIC [--lossy] [--from latest|earliest|SEQUENCE] [--count N] [--drain]

Messages go to standard output, a newline behind each; the last line on
standard error says how many were delivered and lost.
"""

import fcntl
import mmap
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
        self.log, self.log64, self.log32 = log, log.cast("Q"), log.cast("I")
        self.cursors64 = cursors.cast("Q")
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

// Package shm is memory shared between processes: regions of it, words in it, sleeping on it and ordering accesses to
// it. It knows no ring and no message. The unsafe code of this module is here, and its assembly but for
// ring/short_amd64.s; layout.go of other packages imports unsafe for sizes and offsets only.
//
//	process A                                                      process B
//	Create ─▶ Allocate ─▶ Seal ─▶ File ───── Unix socket ────▶ FromFile ─▶ Check
//	                       │        (Reopen(false) first: B may only read)     │
//	                      Map                                                 Map
//	                       ▼                                                   ▼
//	           Mapping.Bytes ══════════════ the same pages ═════════ Mapping.Bytes
//	 Overlay / Span.Ref    │                                                   │
//	                       ▼                                                   ▼
//	    Word64.Store ─ release ─────────────────────────────────▶ acquire ─ Word64.Load
//	    Word32.Add, FutexWake ──────────────────────────────────▶ FutexWait, FutexWaitMany
//
// # Parts
//
//   - [Region], a memfd with its size sealed, and [Mapping], its bytes in this process.
//   - [Word64] and [Word32], reached by [Overlay] where bounds are to be checked and by [Span] where the caller has
//     checked them: loads acquire, stores release, everything else is a full fence.
//   - Fences by name, and [CopyToShared] and [CopyFromShared] for payload.
//   - [FutexWait], [FutexWaitMany], [FutexWake]: sleeping on a word, also on one that this process may only read.
//   - [Membarrier]: the full fence that a rare party executes on behalf of a hot one.
//   - [Now]: the monotonic clock that all processes share.
//
// # Life of a region
//
// One process creates it with a size, allocates the parts it is going to use, seals it, and hands its descriptor to
// others; every one of them checks seals and size before it maps it. The region can be closed once it is mapped and
// sent. A mapping lives until Unmap or the end of the process, the memory until the last mapping and descriptor of any
// process is gone. Memory that nobody allocated is taken from the kernel at its first access.
//
// # Trust and crashes
//
// A region that passed Check cannot shrink, so no access in its mapping faults because of what another process does.
// Everything else in it can change at any instant, by any process that may write: a value is loaded once, checked, and
// then used. A descriptor opened for reading only makes stray writes fault. For another uid that is a barrier; a
// process of the same uid can reopen the memory for writing if it wants to.
//
// The package stores nothing in a region and holds no lock across processes: a process may be killed within any of its
// functions and the others see at most memory allocated but not used. A process that can read a word can also wake its
// sleepers, or catch their wake-ups: every wait has a limit of time and is followed by another look.
//
// # Goroutines
//
// Functions may be called by any number of goroutines; methods say where they may not. FutexWait and FutexWaitMany
// hold a thread while they block. The package starts no goroutine, reads no environment and does not log. It keeps only
// facts of the process: what the kernel can do, the registrations for membarrier, and the clock's base.
//
// # Caveats
//
// The garbage collector knows nothing of mappings: after Unmap every pointer and slice into one is dangling. The race
// detector does not see mapped memory; code that can run over [AlignedBytes] is tested there. On systems other than
// Linux the package compiles, and everything that needs the kernel returns [ErrUnsupported].
package shm

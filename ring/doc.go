// Package ring is one ring of records in shared memory: some producers write it in one order, some consumers read it,
// and any of them may be killed at any instruction. It knows no names, no sockets and no processes; it runs the same
// over mapped regions and over heap memory.
//
//	Producer.Publish, Claim/Commit            Host: grants slots, attaches, repairs
//	   │ enter: the bias, or the mutex           │ (one party, behind a socket or in a test)
//	   ▼                                         ▼
//	┌─ log region ──────────────────────────────────────────────────────────────────┐
//	│ header: lock · tail · claimed · pending · gates · doorbell │ publisher blocks  │
//	│ records:  …│whole│whole│BUSY│whole│ 0 │                free                  … │
//	└────────────────▲────────────────────▲─────────────────────────────────────────┘
//	     Consumer.Next: polls the       the header at the end is zero, always
//	     commit word it waits for
//	┌─ cursor region ───────────────────────────────────────────────────────────────┐
//	│ sleeps · space doorbell │ subscriber blocks: cursor, statistics                │
//	└───────────────────────────────────────────────────────────────────────────────┘
//	     Consumer writes its cursor ──▶ publishers do not overtake the least one (gating position)
//
// # Parts
//
//   - [Format], [Peek], [Open]: a ring in two or three regions of bytes; [Ring], one process's view of it. What is
//     where is in layout.go, and only there.
//   - [Producer]: publishes from one publisher slot. [Claim]: room in the ring for a message that is filled in place.
//   - [Consumer]: reads for one subscriber slot. Reliable consumers hold publishers back; lossy ones are told how many
//     messages they lost, exactly.
//   - [Host]: grants and frees slots, attaches and detaches subscribers, repairs what the dead left.
//   - [Parker]: sleeping, for many goroutines in few threads.
//   - [Ring.Stat], [Ring.Publishers], [Ring.Subscribers], [Ring.Counts]: what anybody may read.
//
// # Life of a record
//
//	free ──▶ COMMITTED ──▶ overwritten                     Publish: written and committed inside the lock
//	  └────▶ BUSY ──▶ COMMITTED or ABORTED ──▶ overwritten  Claim: filled outside it; Commit, Abort, or the host's repair
//	  └────▶ PAD ──▶ overwritten                            the gap before the end of the ring
//
// A publisher enters the ring, zeroes the header behind its record, writes the record, and stores the commit word;
// before that store nothing has happened, after it the message is there for everybody. Consumers poll that word and
// never a shared tail. Sequences are given inside the lock, so all consumers see one order. A consumer stops at BUSY,
// steps over ABORTED and PAD, and publishes its cursor now and then, and before it waits in any way. For every
// consumer, from its start: given = delivered + lost + aborted seen + unread.
//
// Before a publisher overwrites, it has made sure that no reliable cursor and no BUSY record is there (or it returns
// [ErrFull], or waits), and has raised the word claimed, by which lossy consumers tell afterwards whether what they
// copied was whole.
//
// # The lock
//
// One producer at a time is inside. The lock is biased: the producer that was alone for a while enters with plain
// stores. Whoever else wants in marks the bias revoking, executes a barrier on the owner's behalf, and waits until the
// owner is outside. The state machine, and who may take each of its edges, is in lock.go.
//
// # Trust and crashes
//
// Whoever dies is repaired by the host alone, and only once the death is proven: [Host.RemovePublisher]. It frees the
// lock words, aborts open claims, wakes everybody; each step may be repeated, also by the next host. Survivors find
// the true end of the ring by themselves: from the stored tail they step over the records that are there. A
// participant that is stopped, but not dead, is never robbed: whoever waits for it gets [ErrStalled], naming it, when
// its context ends.
//
// No word in the regions is trusted. A value is read once, checked, and then used; sizes come from the private copy
// made when the ring was opened. Bytes that contradict themselves are [ErrCorrupt], saying where: never a panic, never
// an access out of bounds, never work without an end. That is all that holds against a hostile publisher, which can of
// course destroy the messages. A hostile subscriber can write cursors only: one that lies outside the last lap detaches
// its owner, one within it holds publishers back. Guests write nothing but their own region, which says no more than
// whether to ring the doorbell.
//
// Whether peers get more than they need is decided by how regions are mapped: publishers need the log region writable,
// consumers the cursor region (guests: the guest region), the host all of them, observers none.
//
// # Goroutines
//
// A [Producer] and a [Consumer] are used by one goroutine at a time, except for Interrupt. A claim belongs to its
// producer's goroutine, its bytes to whoever fills them. [Ring], [Host] and [Parker] may be used by any number of
// goroutines. Only parkers start goroutines; Close joins them.
//
// # Caveats
//
//   - A view of a reliable consumer points into the ring: it is valid until the consumer's next call, and holds
//     publishers back for as long. If the next call returns [ErrDetached], it may have been overwritten.
//   - A producer with open claims that waits for space may wait for itself.
//   - A reliable consumer that does not read stops all publishers, unless it has a limit on its lag: then it is detached
//     when publishers, which look every 1/64 of the ring, find it further behind, or when a full ring waits for it.
//   - Loss is counted when the next message is read: a lossy consumer that was overtaken and reads no more does not know
//     yet.
//   - [Consumer.Poll] cannot mark the last message of a lossy batch when publishers overtake it in the middle.
//   - Publish times come from the callers and may be out of order between publishers; [StartAge] takes the first message
//     that is young enough.
//   - Without membarrier(2) a ring must be made fenced; [ErrNoBarrier] says so.
package ring

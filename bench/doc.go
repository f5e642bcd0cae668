// Package bench measures what a message costs between processes, by shmbus and
// by everything else one could use, in one interleaved run, so that the ratios
// mean something on a machine whose speed changes by the minute.
//
//	Plan ──▶ []Cell ──▶ for each round: every cell once, in turn ──▶ []Row
//	                      │
//	                      │ desk: a memfd with a line for each actor
//	                      ▼
//	        publisher process ── mechanism ──▶ subscriber process
//	        pinned, warmed up                  pinned, checks every message
//
// # What is measured
//
// An actor is a process of its own: the program runs itself again with a hidden
// command ([Actor]), or runs a program of bench/peers. Each is pinned to a
// processor with all its threads. A publisher writes the message's number into
// the first and last word of a private buffer and hands it to the mechanism,
// which copies it. A subscriber loads one word of each cache line of each
// message in place, checks that the first and last word are the number it
// expects, and adds all loaded words up; the sum is verified at the end. Every
// mechanism does the same work, and none of it is left out for any.
//
// What lies between is looked at before: in the warm-up of each turn, by the
// same processes and the same mechanism, every word of every message depends on
// its number and the word's place, and every word is checked. So a mechanism
// that leaves out a part of a message, or delivers what is old, torn or out of
// place, fails. Where a lap of the ring takes no more than a quarter of what a
// turn measures, and that is all but rings of 256 MiB and more, round trips
// that sleep, and slow rates, the warm-up is longer than a lap; then only the
// cheap check goes on, and a wrong word between the ends shows in the sum only
// if it is the first of its line, and not if it is one from an earlier lap.
//
//	stream  as fast as it goes; from the first publish to the last message checked; several publishers, until
//	        the first of them is through
//	rtt     one message there and one back; a clock reading before and after each
//	paced   open loop: messages are due at fixed times and their latency counts from when they were due, so that
//	        a stall is charged to every message it delays (no coordinated omission)
//
// A cell is measured once a round, in fresh processes, after a warm-up that
// does not count. Before and after each round two processes throw one cache
// line to and fro: rounds in which that took more than twice as long as at the
// best moment are marked slow, and left out of the medians; if that is all of
// them, those that took a quarter more than the best round. On one processor
// there is no such line, and no slow round.
//
// Processor time and switches are those of all actors while the clock runs, less
// what a publisher uses while it waits to be due or for a burst to be read.
//
// # Trust and crash model
//
// All actors are our children and die with us. One that fails or hangs fails
// the run; nothing is left behind but what [Run] removes.
//
// # Concurrency
//
// One run at a time and machine: two disturb each other.
package bench

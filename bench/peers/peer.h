/* What a program of bench/peers shares with the harness (bench/layout.go) and
 * with the other mechanisms (bench/work.go). */
#ifndef PEER_H
#define PEER_H

#include <sched.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A place on the desk, descriptor 3, at 256 * (1 + actor). Only its actor
 * writes it; state last. */
struct place {
	uint64_t state;
	uint64_t start;
	uint64_t end;
	uint64_t messages;
	uint64_t sum;
	uint64_t cpu;
	uint64_t switches;
	uint64_t samples;
	uint64_t share; /* from here on: for what no peer does */
	uint64_t spent;
	uint64_t read;
	uint64_t contest;
	uint64_t until;
	uint8_t pad[152];
};

enum { STATE_ATTACHED = 1, STATE_WARM = 2, STATE_DONE = 3 };
enum { DESK_DESCRIPTOR = 3, SAMPLES_DESCRIPTOR = 4, OWN_DESCRIPTORS = 5 };
enum { LINE_SIZE = 64 };

#define FILLER UINT64_C(0x9E3779B97F4A7C15)
#define STIRRER UINT64_C(0xD1B54A32D192ED03)

/* A word between the first and the last one in the warm-up. */
static inline uint64_t word_of(uint64_t number, uint64_t off)
{
	return number * STIRRER + off * FILLER;
}

/* What this actor is to do, from the command line. */
struct task {
	int rtt;          /* round trips; otherwise a stream */
	uint64_t size;    /* of a message, a multiple of 8 */
	uint64_t warm;    /* messages before the clock runs */
	uint64_t count;   /* messages while it does */
	int actor;        /* 0 publishes, 1 subscribes and, for round trips, answers */
	int processor;
	const char *dir;  /* for names; empty */
	int tsc;          /* the processor's counter is the clock */
};

/* writer makes messages in a buffer of its own. */
struct writer {
	uint8_t *payload;
	uint64_t size;
	uint64_t number;
	uint64_t vary; /* words before this offset, but for the first, are written for each message; 0 after the warm-up */
};

static inline const uint8_t *writer_next(struct writer *w)
{
	for (uint64_t off = 8; off < w->vary; off += 8) {
		uint64_t v = word_of(w->number, off);
		memcpy(w->payload + off, &v, 8);
	}
	memcpy(w->payload + w->size - 8, &w->number, 8);
	memcpy(w->payload, &w->number, 8);
	w->number++;
	return w->payload;
}

/* Copies a payload into shared memory as shm's Span.CopyIn does, and for the
 * same reason: what is short goes by words, because wider loads of words that
 * were just written wait for the store buffer. */
static inline void copy_payload(uint8_t *to, const uint8_t *from, uint64_t size)
{
	if (size > 128) {
		memcpy(to, from, size);
		return;
	}
	for (uint64_t off = 0; off < size; off += 8) {
		uint64_t v;
		memcpy(&v, from + off, 8);
		__asm__ __volatile__("" : "+r"(v)); /* or the compiler makes one wide load of them */
		memcpy(to + off, &v, 8);
	}
}

/* checker reads and checks messages in place. */
struct checker {
	uint64_t size;
	uint64_t expected;
	uint64_t sum; /* since the warm-up */
	uint64_t wrong;
	uint64_t every; /* words up to this offset, but for the first, are looked at; 0 after the warm-up */
};

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

static inline void checker_take(struct checker *k, const uint8_t *p)
{
	uint64_t first = load64(p), last = load64(p + k->size - 8);
	uint64_t sum = first + last;
	for (uint64_t off = LINE_SIZE; off + 8 <= k->size; off += LINE_SIZE)
		sum += load64(p + off);
	k->sum += sum;
	k->wrong |= (first ^ k->expected) | (first ^ last);
	for (uint64_t off = 8; off < k->every; off += 8)
		k->wrong |= load64(p + off) ^ word_of(k->expected, off);
	k->expected++;
}

extern int peer_lonely; /* both actors share one processor */

/* What a side that spins does between two looks for the other. */
static inline void pause_once(void)
{
	if (peer_lonely)
		sched_yield();
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" ::: "memory");
#endif
}

/* What each program provides. The two ways of a round trip are the way there
 * (from actor 0) and the way back (from actor 1). */
void peer_open(const struct task *t);
void peer_send(struct writer *w, uint64_t n);      /* leaves none in a buffer */
void peer_receive(struct checker *k, uint64_t n);  /* exactly n */
void peer_close(void);                             /* gives back what outlives a process */

/* Maps a descriptor, its pages touched, for the life of the process. */
uint8_t *peer_map(int descriptor, uint64_t *size);
/* Ends the process with a message, if bad. */
void peer_check(int bad, const char *what);

#ifdef __cplusplus
}
#endif
#endif

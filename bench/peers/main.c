/* The part of an actor that is the same for every peer: bench/actor.go in C. */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct task task;
static struct place *desk;
static uint64_t *samples, samples_size;
static struct writer writer;
static struct checker checker;
int peer_lonely;

enum { UNSAMPLED = 16 }; /* round trips after the barrier */

void peer_check(int bad, const char *what)
{
	if (!bad)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

uint8_t *peer_map(int descriptor, uint64_t *size)
{
	struct stat st;
	peer_check(fstat(descriptor, &st) != 0, "fstat");
	void *p = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, 0);
	peer_check(p == MAP_FAILED, "mmap");
	*size = st.st_size;
	return p;
}

static uint64_t ticks(void)
{
#if defined(__x86_64__)
	if (task.tsc)
		return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	if (task.tsc) {
		uint64_t v;
		__asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(v));
		return v;
	}
#endif
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct place *place(int actor)
{
	return &desk[1 + actor];
}

static void reach(uint64_t state)
{
	__atomic_store_n(&place(task.actor)->state, state, __ATOMIC_RELEASE);
	for (int looks = 1; __atomic_load_n(&place(1 - task.actor)->state, __ATOMIC_ACQUIRE) < state; looks++) {
		if (looks % 1000 == 0)
			usleep(20);
		pause_once();
	}
}

static void work(uint64_t n, int measured)
{
	if (!task.rtt) {
		if (task.actor == 0)
			peer_send(&writer, n);
		else
			peer_receive(&checker, n);
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (task.actor == 1) {
			peer_receive(&checker, 1);
			peer_send(&writer, 1);
			continue;
		}
		uint64_t t = ticks();
		peer_send(&writer, 1);
		peer_receive(&checker, 1);
		t = ticks() - t;
		if (measured && i >= UNSAMPLED && (i - UNSAMPLED + 1) * 8 <= samples_size) {
			samples[i - UNSAMPLED] = t;
			place(0)->samples = i - UNSAMPLED + 1;
		}
	}
}

static void used(int64_t *cpu, int64_t *switches)
{
	struct rusage u;
	peer_check(getrusage(RUSAGE_SELF, &u) != 0, "getrusage");
	*cpu = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000000) + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * INT64_C(1000);
	*switches = u.ru_nvcsw + u.ru_nivcsw;
}

/* Ends the warm-up: what is between the first and the last word of a message
 * stays what it is from here on. */
static void settle(void)
{
	errno = EBADMSG;
	peer_check(checker.wrong != 0, "bench: wrong message in the warm-up");
	checker.sum = checker.every = writer.vary = 0;
	for (uint64_t off = 8; off + 8 <= task.size; off += 8) {
		uint64_t v = off % LINE_SIZE == 0 ? off * FILLER : 0;
		memcpy(writer.payload + off, &v, 8);
	}
}

static void measure(void)
{
	int64_t cpu0, cpu1, switches0, switches1;
	struct place *p = place(task.actor);
	reach(STATE_ATTACHED);
	writer.vary = checker.every = task.size - 8;
	work(task.warm, 0);
	settle();
	reach(STATE_WARM);
	used(&cpu0, &switches0);
	p->start = ticks();
	work(task.count, 1);
	p->end = ticks();
	used(&cpu1, &switches1);
	p->cpu = cpu1 - cpu0;
	p->switches = switches1 - switches0;
	p->messages = task.count;
	p->sum = checker.sum;
	errno = EBADMSG;
	peer_check(checker.wrong != 0, "bench: wrong message");
	reach(STATE_DONE);
}

int main(int argc, char **argv)
{
	uint64_t size;
	cpu_set_t set;
	errno = EINVAL;
	peer_check(argc != 9, "usage: PROGRAM stream|rtt SIZE WARM COUNT ACTOR PROCESSOR DIR tsc|clock");
	task.rtt = strcmp(argv[1], "rtt") == 0;
	task.size = strtoull(argv[2], NULL, 10);
	task.warm = strtoull(argv[3], NULL, 10);
	task.count = strtoull(argv[4], NULL, 10);
	task.actor = atoi(argv[5]);
	task.processor = atoi(argv[6]);
	task.dir = argv[7];
	task.tsc = strcmp(argv[8], "tsc") == 0;
	peer_check(sched_getaffinity(0, sizeof set, &set) != 0, "sched_getaffinity");
	peer_lonely = CPU_COUNT(&set) == 1;
	CPU_ZERO(&set);
	CPU_SET(task.processor, &set);
	peer_check(sched_setaffinity(0, sizeof set, &set) != 0, "sched_setaffinity");

	desk = (struct place *)peer_map(DESK_DESCRIPTOR, &size);
	samples = (uint64_t *)peer_map(SAMPLES_DESCRIPTOR, &samples_size);
	checker.size = writer.size = task.size;
	peer_check((writer.payload = calloc(1, task.size)) == NULL, "calloc");
	peer_open(&task);
	measure();
	peer_close();
	/* The system's own farewell is no part of the work, and some hang in it. */
	fflush(NULL);
	_exit(0);
}

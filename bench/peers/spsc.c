/* The bare ring limit-spsc (bench/limit.go) in C; with EVERY=64, limit-spsc-batched. */
#include "peer.h"

#ifndef EVERY
#define EVERY 1 /* a power of two: an index is published once in so many messages */
#endif

struct header {
	uint64_t tail;
	uint8_t pad0[120];
	uint64_t head;
	uint8_t pad1[120];
};

struct side {
	struct header *header;
	uint8_t *data;
	uint64_t slot, mask, own, other;
};

static struct side out, in;

static struct side side_open(int descriptor, uint64_t size)
{
	uint64_t bytes, slots = 1;
	uint8_t *p = peer_map(descriptor, &bytes);
	struct side s = {.header = (struct header *)p, .data = p + 4096};
	s.slot = (size + LINE_SIZE - 1) / LINE_SIZE * LINE_SIZE;
	while (slots * 2 * s.slot <= bytes - 4096)
		slots *= 2;
	s.mask = slots - 1;
	return s;
}

void peer_open(const struct task *t)
{
	out = side_open(OWN_DESCRIPTORS + (t->actor == 0 ? 0 : 1), t->size);
	in = side_open(OWN_DESCRIPTORS + (t->actor == 0 ? 1 : 0), t->size);
}

void peer_send(struct writer *w, uint64_t n)
{
	struct side s = out;
	for (; n > 0; n--) {
		if (s.own - s.other > s.mask) {
			__atomic_store_n(&s.header->tail, s.own, __ATOMIC_RELEASE);
			for (;;) {
				s.other = __atomic_load_n(&s.header->head, __ATOMIC_ACQUIRE);
				if (s.own - s.other <= s.mask)
					break;
				pause_once();
			}
		}
		copy_payload(s.data + (s.own & s.mask) * s.slot, writer_next(w), w->size);
		if (++s.own % EVERY == 0)
			__atomic_store_n(&s.header->tail, s.own, __ATOMIC_RELEASE);
	}
	if (s.own % EVERY != 0)
		__atomic_store_n(&s.header->tail, s.own, __ATOMIC_RELEASE);
	out = s;
}

void peer_receive(struct checker *k, uint64_t n)
{
	struct side s = in;
	for (; n > 0; n--) {
		if (s.own == s.other) {
			if (s.own % EVERY != 0)
				__atomic_store_n(&s.header->head, s.own, __ATOMIC_RELEASE);
			for (;;) {
				s.other = __atomic_load_n(&s.header->tail, __ATOMIC_ACQUIRE);
				if (s.own != s.other)
					break;
				pause_once();
			}
		}
		checker_take(k, s.data + (s.own & s.mask) * s.slot);
		if (++s.own % EVERY == 0)
			__atomic_store_n(&s.header->head, s.own, __ATOMIC_RELEASE);
	}
	in = s;
}

void peer_close(void)
{
}

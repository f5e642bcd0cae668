/* ZeroMQ: a PAIR socket over ipc://, one for both ways. */
#include "peer.h"

#include <stdio.h>
#include <zmq.h>

static void *socket_;

void peer_open(const struct task *t)
{
	char address[256];
	int room = (int)((4 << 20) / t->size) + 2, linger = -1; /* as much as the rings hold */
	void *context = zmq_ctx_new();
	snprintf(address, sizeof address, "ipc://%s/zmq", t->dir);
	peer_check((socket_ = zmq_socket(context, ZMQ_PAIR)) == NULL, "zmq_socket");
	zmq_setsockopt(socket_, ZMQ_SNDHWM, &room, sizeof room);
	zmq_setsockopt(socket_, ZMQ_RCVHWM, &room, sizeof room);
	zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
	if (t->actor == 1)
		peer_check(zmq_bind(socket_, address) != 0, "zmq_bind");
	else
		peer_check(zmq_connect(socket_, address) != 0, "zmq_connect"); /* tries until it is there */
}

void peer_send(struct writer *w, uint64_t n)
{
	for (; n > 0; n--)
		peer_check(zmq_send(socket_, writer_next(w), w->size, 0) < 0, "zmq_send");
}

void peer_receive(struct checker *k, uint64_t n)
{
	for (; n > 0; n--) {
		zmq_msg_t m;
		zmq_msg_init(&m);
		peer_check(zmq_msg_recv(&m, socket_, 0) != (int)k->size, "zmq_msg_recv");
		checker_take(k, zmq_msg_data(&m));
		zmq_msg_close(&m);
	}
}

void peer_close(void)
{
}

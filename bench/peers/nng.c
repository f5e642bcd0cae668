/* nng: a pair0 socket over ipc://, one for both ways. */
#include "peer.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>

static nng_socket socket_;

void peer_open(const struct task *t)
{
	char address[256];
	int room = (int)((4 << 20) / t->size) + 2;
	snprintf(address, sizeof address, "ipc://%s/nng", t->dir);
	peer_check(nng_pair0_open(&socket_) != 0, "nng_pair0_open");
	nng_socket_set_int(socket_, NNG_OPT_SENDBUF, room > 8192 ? 8192 : room);
	nng_socket_set_int(socket_, NNG_OPT_RECVBUF, room > 8192 ? 8192 : room);
	nng_socket_set_ms(socket_, NNG_OPT_RECONNMINT, 1);
	nng_socket_set_ms(socket_, NNG_OPT_RECONNMAXT, 5);
	if (t->actor == 1)
		peer_check(nng_listen(socket_, address, NULL, 0) != 0, "nng_listen");
	else
		peer_check(nng_dial(socket_, address, NULL, NNG_FLAG_NONBLOCK) != 0, "nng_dial");
}

void peer_send(struct writer *w, uint64_t n)
{
	for (; n > 0; n--)
		peer_check(nng_send(socket_, (void *)writer_next(w), w->size, 0) != 0, "nng_send");
}

void peer_receive(struct checker *k, uint64_t n)
{
	for (; n > 0; n--) {
		nng_msg *m;
		peer_check(nng_recvmsg(socket_, &m, 0) != 0, "nng_recvmsg");
		errno = EBADMSG;
		peer_check(nng_msg_len(m) != k->size, "nng_msg_len");
		checker_take(k, nng_msg_body(m));
		nng_msg_free(m);
	}
}

void peer_close(void)
{
}

/* Boost.Interprocess: a message_queue for each way. In round trips both sides
 * spin: a blocked one would cost a wake-up. In a stream they block, which is
 * quicker: who spins takes the queue's lock all the time. */
#include "peer.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

using namespace boost::interprocess;

static std::unique_ptr<message_queue> out, in;
static std::vector<uint8_t> buffer;
static std::string mine;
static bool spins;

/* Names lie in /dev/shm: the part of dir that differs from run to run. */
static std::string name_of(const struct task *t, const char *way)
{
	std::string s = t->dir;
	for (char &c : s)
		if (c == '/')
			c = '-';
	return "shmbus" + s + way;
}

static std::unique_ptr<message_queue> join(const std::string &name)
{
	for (;;) {
		try {
			return std::make_unique<message_queue>(open_only, name.c_str());
		} catch (const interprocess_exception &) {
			usleep(1000);
		}
	}
}

extern "C" void peer_open(const struct task *t)
{
	size_t room = (4 << 20) / t->size + 2;
	buffer.resize(t->size);
	spins = t->rtt;
	mine = name_of(t, t->actor == 0 ? "-there" : "-back");
	message_queue::remove(mine.c_str());
	out = std::make_unique<message_queue>(create_only, mine.c_str(), room, t->size, permissions(0600));
	std::string theirs = name_of(t, t->actor == 0 ? "-back" : "-there");
	in = join(theirs);
	message_queue::remove(theirs.c_str()); /* both have it mapped: nothing is left behind */
}

extern "C" void peer_send(struct writer *w, uint64_t n)
{
	for (; n > 0; n--) {
		const uint8_t *p = writer_next(w);
		if (!spins)
			out->send(p, w->size, 0);
		else
			while (!out->try_send(p, w->size, 0))
				pause_once();
	}
}

extern "C" void peer_receive(struct checker *k, uint64_t n)
{
	for (; n > 0; n--) {
		message_queue::size_type size;
		unsigned priority;
		if (!spins)
			in->receive(buffer.data(), buffer.size(), size, priority);
		else
			while (!in->try_receive(buffer.data(), buffer.size(), size, priority))
				pause_once();
		checker_take(k, buffer.data());
	}
}

extern "C" void peer_close(void)
{
}

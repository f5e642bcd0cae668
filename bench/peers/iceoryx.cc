/* iceoryx: an untyped publisher and subscriber for each way. The payload is
 * copied into memory that it lends and read where it lies; nothing is lost. */
#include "peer.h"

#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"

#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>

using namespace iox;

static std::unique_ptr<popo::UntypedPublisher> out;
static std::unique_ptr<popo::UntypedSubscriber> in;
static uint64_t size;

static capro::ServiceDescription service(const struct task *t, const char *way)
{
	std::string s = t->dir;
	s = s.substr(s.rfind('/') + 1);
	return {"shmbus", capro::IdString_t(cxx::TruncateToCapacity, s), capro::IdString_t(cxx::TruncateToCapacity, way)};
}

extern "C" void peer_open(const struct task *t)
{
	size = t->size;
	std::string name = t->dir;
	name = "shmbus-" + name.substr(name.rfind('/') + 1) + "-" + std::to_string(t->actor);
	runtime::PoshRuntime::initRuntime(RuntimeName_t(cxx::TruncateToCapacity, name));
	popo::PublisherOptions p;
	p.subscriberTooSlowPolicy = popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
	popo::SubscriberOptions s;
	s.queueCapacity = size > 16384 ? 64 : 256; /* the default pools have few large chunks */
	s.queueFullPolicy = popo::QueueFullPolicy::BLOCK_PRODUCER;
	out = std::make_unique<popo::UntypedPublisher>(service(t, t->actor == 0 ? "there" : "back"), p);
	in = std::make_unique<popo::UntypedSubscriber>(service(t, t->actor == 0 ? "back" : "there"), s);
	while (in->getSubscriptionState() != SubscribeState::SUBSCRIBED || !out->hasSubscribers())
		usleep(1000);
}

extern "C" void peer_send(struct writer *w, uint64_t n)
{
	for (; n > 0; n--) {
		const uint8_t *p = writer_next(w);
		for (bool done = false; !done;)
			out->loan(size).and_then([&](void *&chunk) {
				copy_payload(static_cast<uint8_t *>(chunk), p, size);
				out->publish(chunk);
				done = true;
			}).or_else([](popo::AllocationError) { pause_once(); });
	}
}

extern "C" void peer_receive(struct checker *k, uint64_t n)
{
	for (; n > 0; n--)
		for (bool done = false; !done;)
			in->take().and_then([&](const void *chunk) {
				checker_take(k, static_cast<const uint8_t *>(chunk));
				in->release(chunk);
				done = true;
			}).or_else([](popo::ChunkReceiveResult) { pause_once(); });
}

/* The daemon would find out in a second or two, and keep our chunks till then. */
extern "C" void peer_close(void)
{
	in.reset();
	out.reset();
	exit(0);
}

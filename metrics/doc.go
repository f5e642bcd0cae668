// Package metrics shows a bus to Prometheus.
//
//	shared memory ──▶ ring.Statistics ──▶ Collector ──▶ registry ──▶ /metrics
//	(counters and     (plain values)      (names,       (yours, or
//	 histograms that                       labels)       Serve's)
//	 participants keep)
//
// Participants count in memory that they share anyway; reading it out disturbs
// nobody and costs the hot path nothing. A collector therefore does all its
// work when it is asked.
//
// [NewCollector] is for a service that has a registry of its own: it reports
// the publishers and subscribers of one bus handle. [NewBusCollector] reports
// everybody on the bus, as `shmbus serve --metrics` and `shmbus metrics` do.
//
// # Series
//
// Names begin with shmbus_. Labels are bus, topic, name (given to a publisher or
// subscriber; "" sums up those without one), mode and reason (closed sets).
// There is never a pid. A guest, which could say any name, is called guest: and
// its slot. docs/observability.md tells what each series means and what to do
// when it moves.
//
// Series of a topic include the participants that have left, or died, and never
// go back while the topic lives. Series with a name end with their owner. Of
// the unnamed, what those that left had counted when last seen stays in the sum.
//
// Latencies are from Publish to the subscriber's finding the message. Each is a
// histogram with classic buckets at powers of two of a second, and a native
// one of schema 3, made of the same numbers; which of them is sent is
// negotiated with the scraper.
//
// All functions and methods may be called from any goroutine.
package metrics

// Package histories checks recorded histories of a topic against what a topic
// means: it holds tests and nothing else.
//
//	test ── "pub 7" ──▶ publisher process ═╗
//	     ── "pub 8" ──▶ publisher process ═╬═ topic
//	     ◀─ "got 7" ─── subscriber process ╝
//
// The test stamps each call before it asks for it and after it has heard of
// its end, so a call happened at some moment between the two. Of a process that
// was killed in a call nobody knows whether it happened: it may have, at any
// later moment, or never. Porcupine looks for one order of all calls that
// agrees with all of this and with a log: publish appends, next gives a
// subscriber what is behind what it got last, or says that there is nothing.
package histories

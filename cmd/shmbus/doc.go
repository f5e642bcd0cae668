// Command shmbus publishes to, subscribes to and looks at a shared-memory bus
// from the shell.
//
//	stdin ──▶ shmbus pub TOPIC ──▶ [ring in shared memory] ──▶ shmbus sub TOPIC ──▶ stdout
//	                                        ▲
//	                 shmbus ls, stat: read-only observers, never in the way
//
// Data goes to standard output, everything else to standard error. Exit codes:
//
//	0    done; serve, metrics and http also when SIGTERM ends them
//	1    failed; one line on standard error says why
//	2    wrong usage
//	3    nothing there: no such bus or topic
//	4    version mismatch (control protocol or memory layout); both are named
//	124  timed out (--timeout)
//	130  interrupted (SIGINT, otherwise SIGTERM too), after leaving the bus cleanly
//
// Loss in a lossy subscriber is a result, not a failure. A standard output that
// is closed by its reader ends the command quietly with 0.
package main

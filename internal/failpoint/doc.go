// Package failpoint makes named places of the program fail on purpose, in test builds only.
//
//	SHMBUS_FAILPOINTS="ring.commit=kill@3,shm.waitv=on"  ./program built with -tags failpoint
//	        │
//	        ▼ read once, at program start
//	Enabled("shm.waitv") ─▶ true: the caller behaves as if the kernel lacked the feature
//	Hit("ring.commit")   ─▶ the third call never returns: the process is gone
//
// Without the build tag `failpoint` the environment is not read, Enabled is the constant false and Hit is empty;
// both inline to nothing, so a failpoint may stand on a hot path.
//
// Actions:
//
//	on       Enabled(name) is true
//	kill     Hit(name) kills the own process with SIGKILL
//	stop     Hit(name) stops the own process with SIGSTOP; it goes on after SIGCONT
//	panic    Hit(name) panics
//
// kill, stop and panic may be followed by @N: only the Nth hit (counted from 1) acts. A setting that cannot be
// understood panics at program start: a test whose failpoint is misspelt must not pass.
//
// All functions may be called by any number of goroutines. The package is a test tool: it trusts its environment.
package failpoint

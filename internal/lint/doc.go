// Package lint holds the house rules of this repository as tests: who may
// import whom and why, where unsafe and assembly live, how shared memory is
// declared and accessed, which words are used, what a test may not do.
//
//	files of the repository ──▶ Tree ──▶ Rule.Check ──▶ []Problem, one line each
//
// A rule is a name, a reason that is printed with each of its problems, and a
// function from a [Tree] to the problems it finds; the rules are in [Rules].
// They read syntax only, so they also see files that do not compile here. A
// rule that no longer fits is changed, with its reason, in the same change as
// the code that needs it. Everything is safe for one goroutine at a time.
package lint

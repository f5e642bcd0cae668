// Package model explores the protocol of package ring exhaustively: every
// order in which the steps of a few publishers, subscribers and the host can
// happen, every order in which their stores can be seen, and a death at every
// step.
//
//	Scene ──▶ machine: the states that can follow a state ──▶ explorer: breadth first, so that the way to a
//	                                                           violation is the shortest
//	Mutation ─┘ a defence taken away: something must notice, or the reason why not is known
//
// It is a second writing of the protocol, by hand, step by step; README.md
// says how it was derived from ring, what is left out, and what it has shown.
// Change it when ring changes.
//
// One exploration runs in one goroutine and shares nothing with others. Its
// states are kept as 64-bit hashes: two that collide are taken for one, so a
// scene that holds is shown with odds of some 10⁻⁵, not proven.
package model

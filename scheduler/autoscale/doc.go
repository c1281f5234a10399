// Package autoscale decides how many machines a cluster should have, and shows
// beforehand what a decision costs and how long builds would wait under it.
//
// Its nouns: a [Policy] says how many nodes there should be, from a [View] of
// the cluster. A [Fleet] is what nodes are like: their room, price and time to
// boot. [Simulate] plays a trace of [Job] values against both and returns a
// [Result]; [Recommend] plays many policies and returns them cheapest first. A
// [Scaler] applies a policy to a real [Group] of machines.
//
// A simulation is a function of trace, fleet, policy and seed alone: it looks
// at no clock, and the same input gives the same output to the last bit. Its
// figures are held against theory in the tests: the formulas of Erlang, the
// exact chain of M/D/c, and the law of Little.
//
// What the numbers of the last chapter of the operator's guide on scaling boil
// down to: a forecast sets the floor and reaction only tops up, because a
// machine that is ordered when the queue is there already comes a boot too late.
// Reaction may lead only where machines boot much faster than builds run.
//
// The package starts no machine and calls no cloud; package asg beside it does.
package autoscale

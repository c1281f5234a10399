// Package forgetest holds what tests of code hosts need: a suite of what Rondo
// asks of any of them, and a GitHub that runs in the test.
//
// Its nouns are the [Forge], the little that every code host has to answer,
// which [TestForge] tries; the [GitHub], a server with the calls of GitHub's REST
// API that Rondo makes and the webhooks that it receives; and the [Repo], a
// repository there, with real git underneath. A test pushes, opens pull requests
// and breaks things through methods, and looks at what was made there.
//
// The answers of the fake have the form of GitHub's published description of the
// API, which a test of this package holds them to. It is for tests only: it
// knows tokens and rights, but protects nothing.
package forgetest

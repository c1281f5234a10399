// Package api is the REST API of Rondo, versions 2 and 1.1, in the form that
// clients of CircleCI know, with the addresses around it that monitors and old
// links use (badges, cc.xml, redirects), and a few of Rondo's own below
// /api/v2/rondo.
//
// Its noun is the [API], an http.Handler. Tables of routes serve requests and
// describe themselves as OpenAPI, so the two cannot differ. What the API tells
// and does comes from a [Reader], a [Conductor], [Logs], [Artifacts] and
// [Chapters]; who asks and what they may do is decided by functions in the
// [Config].
//
// Persons may use everything. A [ci.ProjectToken] is good for what its scope
// says in v1.1, badges and cc.xml, and unknown to version 2; who has no token
// reads there what is open. How often anybody may call is a [RateConfig].
//
// Errors are JSON with a message, lists of version 2 come in pages by key,
// times that are not set are null. The package keeps small documents of its own
// (in [Docs]) and the counters of its limits, renders no pages (that is ci/web),
// and knows no agents (those use ci/api/door).
package api

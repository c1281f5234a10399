// Package api is the REST API of Rondo, version 2, in the form that clients of
// CircleCI know, and a few addresses of Rondo's own below /api/v2/rondo.
//
// Its noun is the [API], an http.Handler. One table of routes serves requests
// and describes itself as OpenAPI, so the two cannot differ. What the API tells
// and does comes from a [Reader], a [Conductor], [Logs] and [Artifacts], and
// what an installation has beyond pipelines from its [Chapters]; who asks and
// what they may do is decided by functions in the [Config].
//
// Errors are JSON with a message, lists come in pages by key, times that are
// not set are null. The package keeps nothing but small documents of its own
// (in [Docs]), renders no pages (that is ci/web), and knows no agents (those
// use ci/api/door).
package api

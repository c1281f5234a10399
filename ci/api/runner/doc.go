// Package runner is the part of the API, version 3, by which people manage
// self-hosted runners: resource classes of their own and the tokens with which
// agents take tasks of one.
//
// Its noun is the [Handler], an http.Handler for what is below /api/v3/runner.
// It keeps classes and tokens in documents, a token only as a digest: it is
// shown once. Which agents are connected and how many tasks wait or run is told
// by functions in the [Config]. It hands out no tasks.
package runner

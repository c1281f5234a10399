// Package metrics brings figures of an installation to whoever watches it.
//
// Its nouns: a [Sample] is one figure of one moment or interval. The [Catalogue]
// is the list of all names that Rondo itself uses; documentation, dashboards and
// alerts are made from it. A [Registry] counts inside of the process, an [Input]
// asks others; a [Sink] takes what they give to a platform, and a [Hub] stands
// between: it gathers at intervals and gives every sink everything, each at its
// own pace.
//
// A slow or dead sink never slows the hot path, the inputs or another sink: each
// has a bounded buffer, of which the oldest part is dropped and counted. When
// all is well the package says nothing; when a thing begins or ends to fail it
// says so once.
package metrics

// Package graphql answers the GraphQL that the classic command line of
// CircleCI sends: organisations, the registry of orbs, the compiler, and
// contexts for clients that do not find the REST API.
//
// Its noun is the [Handler], an http.Handler for POST /graphql-unstable.
// Documents are parsed and executed over a small schema, so a client gets the
// fields that it asks for, in whatever way it asks. There is no introspection,
// and there are no interfaces, unions or subscriptions. Depth, number of
// fields, effort and size of a reply are bounded. An answer has status 200 also
// when it is an error of a document, since clients drop the body of any other.
//
// What it tells and does comes from a [Registry] and from functions in the
// [Config]. The package keeps no state and compiles nothing itself.
package graphql

// Package vmservicetest has the suites that every [vmservice.Driver] must pass,
// with or without [vmservice.Volumes], and a provider in memory for tests of
// whoever uses one.
//
// Its nouns: a [Setup] is a driver under test; a [Cloud] is the provider in
// memory, whose calls go wrong by a script and whose time is that of
// testing/synctest; a [Guest] is the inside of its machines.
//
// The package never starts a machine by itself: drivers of real ones are
// tested with whatever their Setup reaches.
package vmservicetest

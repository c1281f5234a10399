// Package github logs people in by GitHub or a GitHub Enterprise, and asks it
// what they may do there. Its nouns are the [Login], the web flow of OAuth, and
// the permission, which follows the code host.
//
// The flow keeps nothing on the server: its state is bound to a cookie of the
// browser that began it, by a key that is made at the start, is good for ten
// minutes and for one answer. The token of a user is kept sealed; it is sent
// to the host of the settings and nowhere else.
//
// A permission is what the host said in the last minutes. Where the host does
// not answer there is none: an error grants nothing.
package github

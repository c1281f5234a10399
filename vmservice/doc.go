// Package vmservice keeps a pool of machines that are used once, and the volumes
// on which projects keep their Docker layers.
//
// Its nouns: a [Driver] is a provider that boots machines (EC2, this host); it
// keeps no books, its List is the truth. A [Machine] serves one task and is
// destroyed with it. A [Volume] belongs to one project and one tier of trust
// for as long as it exists. A [Guest] is what can be done inside of a machine.
//
// A [Pool] is over all of them. What it wants is written down under a key before
// the provider is asked, and asked for again with the same key after a crash; a
// machine that the books do not know is ended when it is seen twice. Bounds are
// counted before the call and until the provider has let the thing go.
//
// The package never runs a job's command, never gives a machine to a second
// task, and never touches a machine or volume that does not carry the tags of
// its own installation.
package vmservice

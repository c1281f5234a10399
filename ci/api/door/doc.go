// Package door is the way by which agents talk to the server: everything that
// an agent reads or writes while it runs a task goes through it.
//
// Its nouns are the [Door], which does the work in process, and the [Client],
// which an agent holds and which reaches a Door through [Handler] over HTTP/1.1
// on TCP or a unix socket. Both have the same methods with the same meaning, so
// an agent cannot tell them apart. A [Key] makes the bearer tokens: each is good
// for one task and one epoch and for nothing else. What an agent is started with
// is less, a ticket: whoever reads it after the task was claimed has nothing.
//
// Large files go past the door where the server has a bucket that others can
// send to: the door gives links and commits, see [Direct] and [Client.UseBucket].
//
// Every call carries a lease and is refused with [ci.ErrConflict] when the lease
// is not the current one. Every call may be repeated, since a reply can be lost:
// the second one finds the work done and says so. An error that is one of the
// four sentinels of package ci is final; any other error is worth a retry.
//
// The package keeps nothing: records, output and files go to what it is given,
// and a Door may be killed at any instant. It never talks to a code host, never
// schedules, and trusts nothing that an agent says about itself beyond its lease.
package door

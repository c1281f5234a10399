// Package pusher serves the stream of events over WebSockets that speak the
// Pusher protocol, version 7, so that clients made for it (pusher-js, Echo) see
// what happens without asking. Its noun is the [Server].
//
// Channels are private-project-ID, private-pipeline-ID, private-workflow-ID and
// private-job-ID; a client subscribes with a signature that POST /pusher/auth
// gives to whoever may read the project. The same names without "private-"
// are open to everybody for projects that are open. A message is a [ci.Event];
// on the channel of a job there are messages "output" too, each with whole
// lines of a step. What clients say to one another is refused.
//
// Nothing is missed: every message has its number (seq), the answer to a
// subscription says where it starts, and a client that comes back with the
// number it saw last on that channel (parameter "after" of /pusher/auth, or
// field "after" in the data of the subscription) first gets what it missed.
// For output the position is the end ("to") of what it has, by "node.epoch.step"
// (parameter or field "output").
//
// Events are followed once and encoded once, whatever the number of
// subscribers. A client that does not keep up is dropped, not waited for. A
// connection ends after an hour, and where [Config] says how to ask, half a minute
// after its token, session or right has ended.
//
// The package never polls, keeps no history of its own, and never decides who
// may read what.
package pusher

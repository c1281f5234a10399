// Package statsd takes figures that others send by StatsD or DogStatsD over
// UDP: clients of the cluster, external servers of it, databases (the port is
// 8125 by the operations guide).
//
// A [Message] is one line; a [Server] reads packets, adds up what they say and
// gives it at every Gather as an input of package metrics. A packet that cannot
// be read is counted and harms nothing; one that comes from outside of the
// allowed networks, or faster than it can be read, is counted too.
//
// The package never answers, and keeps no figure longer than it is sent.
package statsd

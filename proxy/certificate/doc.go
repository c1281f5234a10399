// Package certificate checks the certificate of a server and its private key
// before anybody relies on them.
//
// [Inspect] reads what an operator would upload and returns a [Report]: the
// findings, each with a stable code, what is wrong and how to mend it; and the
// same files in the right order, where that can be made of them. [Served] does
// the same with what a running server shows. [Capture] fetches the chain of a
// server, for a machine that does not trust it yet.
//
// Go's own errors mislead here (a chain in the wrong order is told as a key that
// does not match), so the files are read step by step. The package never prints
// a private key, and never fetches anything but what it is asked for.
package certificate

// Package authtest has the other sides of logging in, for tests: [GitHub], the
// OAuth server and API of a code host. It keeps everything in memory and talks
// on loopback only; it is no server for anything but tests.
package authtest

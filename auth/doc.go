// Package auth knows who asks. Its noun so far is the token: a secret that a
// program sends in place of a person's login. [Tokens] keeps those of projects
// (api v1.1, badges and cc.xml) and of people.
//
// A token is 160 random bits behind a prefix that scanners recognise. It is
// shown once, when it is made; what is kept is its SHA-256, under which it is
// found with one read, so nothing in the database or a backup opens a door.
//
// The package decides nothing about what somebody may do, and never sees a
// password.
package auth

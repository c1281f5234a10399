// Package auth knows who asks and what they may. Its nouns are the user, a
// person with one or more identities (of a directory, a code host, or local);
// the session, a browser in which a user is logged in; and the token, a secret
// that a program sends instead. [Users] keeps people and their sessions,
// [Tokens] tokens, [Local] the few passwords that are ours; [Door] serves the
// pages of logging in, and [Gate] is the one place that says what somebody may.
//
// All of it stands in documents. Of secrets there is only a hash, under which
// they are found with one read, so nothing in the database or a backup opens a
// door. A session or token is good only as long as the user is: at least every
// quarter of an hour the directory is asked whether it still knows the person.
//
// The package never stores a password of a directory, and what somebody may do
// in a project it asks the code host.
package auth

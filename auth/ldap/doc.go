// Package ldap asks a directory who somebody is: OpenLDAP, Active Directory and
// what behaves like one of them. Its nouns are the [Directory], which is a
// provider of package auth, the [Settings] in the words of the guide, and the
// [Trace] of a test.
//
// A login is a search and a bind. The search user looks for the one entry whose
// username field is the login; then another connection binds as that entry with
// the password; then the search user reads the groups. A connection that
// searches never binds as a person, and one that binds as people never
// searches: they are two types. The person is known by the directory's own
// permanent identifier (entryUUID, objectGUID), so a new name or another place
// in the tree is still the same person.
//
// The package follows no referral, sends no password before the encryption that
// the settings ask for, takes no answer without an end, and never binds with an
// empty password, which many servers answer with success (RFC 4513, 5.1.2). It
// keeps no passwords and no users. Of groups it remembers for five minutes which
// are in which others, so that a login costs a search, a bind and one more
// search however deep they are nested; who is asked about again, after a login,
// is asked about anew.
package ldap

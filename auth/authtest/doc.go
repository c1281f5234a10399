// Package authtest holds fakes of those who know people, and the suites that
// they and the real ones pass. Its nouns for directories are the [Directory],
// an LDAP server in the test's own process with the manners of OpenLDAP or
// Active Directory and with faults on demand, and the [Keeper], which changes a
// directory under test, real or not; [TestDirectory] is their suite. [GitHub] is
// the OAuth server and API of a code host.
//
// The fake directory reads and writes LDAP by itself, not by the client's
// library, so that the two don't share mistakes. It knows binds, searches with
// paging, StartTLS and who-am-I, and never anything that changes entries over
// the network. All of it is in memory and for tests only.
package authtest

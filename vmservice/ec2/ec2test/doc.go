// Package ec2test is an EC2 for tests: the calls that a pool of machines makes,
// in Amazon's query protocol with XML answers, and its bad days.
//
// Its nouns: a [Cloud] has instances and volumes that live by a clock; a [Rule]
// makes calls fail, on purpose or by chance, before they are done or, worse,
// after. What is made can't be seen at once, client tokens and their mismatches
// are kept, pages are short, calls are throttled by buckets, capacity and quotas
// end, volumes and machines get stuck when told to. The same Cloud answers as
// the metadata service of a machine that has a role.
//
// It runs in process ([Cloud.Client], which opens no socket and so works with
// the clock of testing/synctest) or as a server ([Cloud.ServeHTTP]). It checks
// that requests are signed, and by whom, but not the signature itself; it boots
// nothing.
package ec2test

// Package secret decides what jobs may know: it keeps contexts, the variables
// of contexts and projects, and SSH keys, and hands them to the jobs that may
// have them.
//
// Its nouns are the [Safe], which keeps all of it in a [ci.Docs] with the
// values sealed by a [Keeper], and the [Decision], which says in words whether
// a job may use a context. A Safe is the contexts, variables and keys of package
// ci/api; its [Safe.Resolve] and [Safe.Allowed] are the Secrets and the Allow of
// a [ci.Config].
//
// # Who gets what
//
// The variables and keys of a project go to all of its jobs, those of a context
// to the jobs that name it. A job of a pipeline from a fork gets nothing, unless
// the project's settings say otherwise; whoever reruns or approves it, it stays
// a fork's. A context may have restrictions: of each kind that it has, project,
// group and expression, one must pass. A context that never had a group is open
// to everybody; one whose last group was removed is open to administrators,
// who need no group. The group [AllMembers] opens it again. What is not known,
// an expression that cannot be decided or a context that does not exist, is
// denied.
//
// Later contexts are stronger than earlier ones, and all are stronger than the
// project. What is stronger than these is the agent's to lay over them.
//
// # What is never done
//
// A value is never shown again: not in a listing, an error or a log, and the
// package writes none of these but errors. Listings do not open what is
// sealed. Limits, names and rules are those of CircleCI's pages on contexts.
// Names of contexts are unique in the whole installation, as on CircleCI
// server; a job finds those of its own organisation only.
package secret

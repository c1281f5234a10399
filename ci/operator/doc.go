// Package operator is the desk of whoever runs the installation: where a task
// is and why, how the machines stand, and the few things that are done to them
// and to the queue by hand. Pages, API and commands ask it and say the same.
//
// Its nouns: a [Desk] answers; the facts of one task are judged by [Diagnose],
// which is pure, in the order of the guide's chapter "Debugging Queuing
// Builds". Words are those of [ci.Operations].
//
// It keeps no state and runs nothing: all that it says is read anew from the
// scheduler, the cluster and the records. It never moves a task by itself but
// one: a task that the workflow has queued and the scheduler does not know gets
// its ticket when somebody looks (the guide restarts the application for that).
package operator

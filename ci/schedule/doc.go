// Package schedule starts pipelines by the clock: those that people set up for
// a project ([ci.ScheduledPipeline]) and those that the configuration of a
// branch asks for ([ci.Schedule]). Its noun is the [Clock].
//
// All times are UTC, so no hour is doubled or left out when a country changes
// its clocks. Each schedule is a document whose Due is its next time. A time
// that comes up is triggered under the key "schedule's ID@planned time" and
// only then is the document moved on, so neither a crash in between nor a
// second server on the same database starts a pipeline twice. What was missed
// while no server ran is made up for once, late: the trigger carries the time
// that was planned, and the [Firing] of the schedule says by how much it was
// late and how many times passed unused.
//
// When the clock of the machine is set back, schedules go by the new time, and
// the key keeps a time that has been triggered from being triggered again.
//
// A project has [MaxSchedules] of each sort at most, and those of its
// configurations rest while nobody follows it. A schedule triggers with the
// rights of a person only as that person left it.
//
// The package never compiles a configuration, never asks a code host, and
// never decides who may do what: it is given functions that do.
package schedule

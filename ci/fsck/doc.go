// Package fsck checks what an installation has stored against the rules that
// always hold (promise P30): states are legal, graphs are kept, one lease a
// task, logs are as long and have the hash that their agent told, events have no
// gaps, documents can be read.
//
// [Examine] goes over a [Source] and yields each [Finding]: a code that is its
// own, the object, what is wrong and what to do. It only reads, and a server may
// run meanwhile: what looks wrong is looked at once more after a while, and
// counts when it still does.
//
// The package mends nothing.
package fsck

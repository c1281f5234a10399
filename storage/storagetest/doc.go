// Package storagetest has the suites that every form of package storage must
// pass: [TestLogs] for whatever keeps output, in memory or on disk, sealed or
// not, and [TestFiles] for whatever bucket files are kept in. A program that
// brings its own bucket driver runs them to see whether Rondo can rely on it.
//
// It never tests speed or durability; those need a disk of their own.
package storagetest

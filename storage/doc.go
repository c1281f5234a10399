// Package storage keeps the bytes that tasks leave behind: the output of their
// steps, and their files.
//
// [Logs] keeps output. The stream of a step is named by a [ci.LogKey] and is
// bytes at offsets from 0; an agent appends to it by offset, so it may resend
// whatever it is not sure of, and an append that has returned survives a loss
// of power. Watchers follow a stream live from any offset, without a gap and
// without a repeat. While a hand-out runs, all its streams share one hot file
// (one file to make, one fsync for an append); some time after it has ended
// the hot file is sealed: compressed into one object of a bucket and removed.
// Reading is the same before, during and after.
//
// [Files] keeps caches, workspace layers and artifacts in a bucket of
// gocloud.dev/blob. A file is whole or absent, never changes, and is checked
// against its SHA-256 whenever it is read to the end. With [Direct] its bytes may
// go to the bucket and from it without passing through this process.
//
// [OpenDir] makes a bucket of a folder. Unlike gocloud.dev/blob/fileblob it
// returns from a write only when the object would survive a loss of power, and
// it lets exactly one of several writers create an object, so it is the one to
// use wherever a server keeps its objects in a folder.
//
// The package never decides who may read or write (callers check leases and
// rights), never packs or unpacks archives, and knows nothing of databases:
// records live in storage/memdb and storage/sqldb. It imports, beyond the
// standard library and ci, gocloud.dev/blob (buckets, so that S3 and others
// come for free) and github.com/klauspost/compress/zstd (sealed logs).
package storage

// Package s3 makes a bucket of one at S3, or at any server that speaks its
// protocol, for everything that [storage.OpenDir] makes a folder for: caches,
// workspaces, artifacts, sealed logs and the files of the audit log.
//
// Its nouns are [Config], which says where the bucket is, and [Store], which is
// the bucket with what has to be done for it from time to time. It is the only
// package that carries the SDK. The promises are those of the folder: an object
// is whole or absent, with IfNotExist exactly one of several writers wins
// (If-None-Match, which the server must know; [Store.Check] finds out), and
// nothing of an upload that was cut off can be seen.
//
// A call that meets a busy server (503), a broken connection or silence is
// repeated, [attempts] times in all; silence is 30 seconds without a byte in
// either direction. So a server that is gone fails a call within about a
// minute, one that hangs within two and a half. Then whoever called gets an
// error that says what to do; who must not give up, as the sealer of logs and
// the audit log, tries again.
//
// It is also a [storage.Direct]: it makes links by which others send the parts of
// an object and read it, where [Store.TryLinks] has found that the server can do
// that.
//
// It never makes a bucket, never changes its policy or lifecycle, and never
// writes a key or the answer of a server into an error as a whole.
package s3

// Package s3test runs an S3 server for tests: versitygw over a folder, with
// real signatures, on loopback. Its one noun is [Server].
//
// The program is $VERSITYGW, or versitygw on the PATH, or is built once with
// "go install" into the user's cache folder. Where that cannot be done the
// test is skipped, and under CI=true it fails.
package s3test

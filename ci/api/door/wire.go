package door

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// root is where the door stands. A change that an old agent would not
// understand gets a new version.
const root = "/door/v1/tasks/"

// The limits of what is read into memory, in bytes.
const (
	maxSmall = 8 << 20   // a step, a report
	maxTests = 128 << 20 // the test results of a task
	maxReply = 256 << 20 // what a client takes from a server
)

// Names of header fields.
const (
	headerDigest   = "Content-Digest" // RFC 9530; after a file it is a trailer
	headerProof    = "Rondo-Proof"    // of who claims with a ticket
	headerIdentity = "Rondo-Identity" // what the cluster has signed about who claims with a ticket
	headerResult   = "Rondo-Result"   // trailer: "ok", or the code of an error
	// headerDirect is, in the answer to a claim or a renewal, the size from which
	// on files may go to the bucket itself; in the request of a file, that a link
	// to it will do, and in the answer, that it is one.
	headerDirect = "Rondo-Direct"
)

// A problem is an error on the wire.
type problem struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Next    *int64   `json:"next,omitempty"` // of Append
	File    *ci.File `json:"file,omitempty"` // that exists
}

// A begun is the answer to an upload that begins, and to who asks for a link.
type begun struct {
	File   *ci.File  `json:"file,omitempty"` // that exists
	Upload ci.Upload `json:"upload,omitzero"`
	Link   ci.Link   `json:"link,omitzero"`
}

// codes are the errors that have a meaning on the other side. Everything else
// is "internal" and worth a retry.
var codes = []struct {
	code   string
	status int
	err    error
}{
	{"conflict", http.StatusConflict, ci.ErrConflict},
	{"not_found", http.StatusNotFound, ci.ErrNotFound},
	{"invalid", http.StatusBadRequest, ci.ErrInvalid},
	{"denied", http.StatusForbidden, ci.ErrDenied},
}

const codeInternal = "internal"

// codeOf returns the code and the HTTP status of an error.
func codeOf(err error) (string, int) {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code, c.status
		}
	}
	return codeInternal, http.StatusInternalServerError
}

// sentinel returns the error of a code, nil if it has none.
func sentinel(code string) error {
	for _, c := range codes {
		if c.code == code {
			return c.err
		}
	}
	return nil
}

// Final reports whether an error of a [Door] or [Client] will be the same next
// time. All others (a network, a full disk, a server that restarts) are worth a
// retry.
func Final(err error) bool {
	code, _ := codeOf(err)
	return err != nil && code != codeInternal
}

// A remoteError is what the server answered.
type remoteError struct {
	text    string
	err     error // a sentinel or nil
	problem problem
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.err }

// digest writes the value of a Content-Digest field.
func digest(sum hash.Hash) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

package ci

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// The identities of the nouns. All but [TaskID] are UUIDs in lower-case text
// form; treat them as opaque.
type (
	// ProjectID names a [Project].
	ProjectID string
	// PipelineID names a [Pipeline].
	PipelineID string
	// WorkflowID names a [Workflow].
	WorkflowID string
	// JobID names one attempt of a [Job].
	JobID string
	// TaskID names one parallel slice of a job: the job's ID, a dot and the
	// index of the slice, as [JobID.Task] makes it.
	TaskID string
)

// NewID returns a fresh UUID (version 7: ordered by time of making, which
// keeps database indexes dense). It is safe for concurrent use.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	ms := uint64(time.Now().UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70
	return text(b)
}

// NameID returns a UUID (version 8) that follows from a name: for what clients
// want one of and Rondo knows by name only. The same name always has the same.
func NameID(name string) string {
	sum := sha256.Sum256([]byte("rondo " + name))
	b := [16]byte(sum[:16])
	b[6] = b[6]&0x0f | 0x80
	return text(b)
}

// OrgID returns the identity of the organisation with that slug.
func OrgID(slug string) string { return NameID("org " + slug + "\n") }

// text is a UUID as text, with its variant set.
func text(b [16]byte) string {
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Task returns the identity of slice index of the job.
func (id JobID) Task(index int) TaskID {
	return TaskID(string(id) + "." + strconv.Itoa(index))
}

// Split returns the job and the slice index that the identity names, and
// false when it was not made by [JobID.Task].
func (id TaskID) Split() (JobID, int, bool) {
	job, index, found := strings.Cut(string(id), ".")
	n, err := strconv.Atoi(index)
	return JobID(job), n, found && err == nil && n >= 0 && job != "" && strconv.Itoa(n) == index
}

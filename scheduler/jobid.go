package scheduler

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A JobID is the name under which operators and Nomad know a hand-out:
// <build>-<index>-build-<org>-<repo>-<number>, as in
// 5a4ea06b7d560d000116830f-0-build-GERey-realitycheck-1 (operator's guide, "Check
// Job Processing Status"). There is one for each parallel slice of a job.
type JobID struct {
	// Build is 24 hexadecimal digits, the same for all slices of a job: 4 bytes
	// of Unix time when it was queued, and 8 that follow from its identity and
	// the epoch, so that a task that is handed out again has another name.
	Build string
	// Index is that of the slice, from 0.
	Index int
	// Name is organisation and repository with a dash between. Both may have
	// dashes of their own, so it cannot be taken apart again: whoever needs the
	// two looks up the task.
	Name string
	// Number is that of the job in its project.
	Number int64
}

// What every job of Nomad's is, as the guide prints it.
const (
	JobType     = "batch"
	JobPriority = 50
)

// namePart is how many bytes of an organisation or repository stand in a name.
const namePart = 100

// JobIDOf returns the name of a hand-out of a task. The same one always has the
// same name.
func JobIDOf(t ci.Task, epoch int64) JobID {
	sum := sha256.Sum256([]byte(string(t.Job) + "\n" + strconv.FormatInt(max(epoch, 1), 10)))
	var b [12]byte
	binary.BigEndian.PutUint32(b[:4], uint32(max(t.Queued.Unix(), 0)))
	copy(b[4:], sum[:8])
	return JobID{Build: hex.EncodeToString(b[:]), Index: t.Index, Name: plainName(t.Org) + "-" + plainName(t.Repo), Number: t.Number}
}

// plainName is a name without what has no place in an address or a shell.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, s[:min(len(s), namePart)])
}

// String returns the name.
func (id JobID) String() string {
	return id.Build + "-" + strconv.Itoa(id.Index) + "-build-" + id.Name + "-" + strconv.FormatInt(id.Number, 10)
}

// Queued returns when the job was queued, to the second.
func (id JobID) Queued() time.Time {
	b, err := hex.DecodeString(id.Build)
	if err != nil || len(b) < 4 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC()
}

// ParseJobID reads a name: 24 hexadecimal digits, the index, the word build and
// behind the last dash the number; what is between is the Name. Anything else
// is [ci.ErrInvalid]. String of the result is s.
func ParseJobID(s string) (JobID, error) {
	build, rest, _ := strings.Cut(s, "-")
	index, rest, _ := strings.Cut(rest, "-")
	middle, named := strings.CutPrefix(rest, "build-")
	dash := strings.LastIndexByte(middle, '-')
	if !named || dash < 1 || !lowHex(build, 24) {
		return JobID{}, fmt.Errorf("job ID %.200q must look like 5a4ea06b7d560d000116830f-0-build-acme-shop-12: %w", s, ci.ErrInvalid)
	}
	id := JobID{Build: build, Name: middle[:dash]}
	var err error
	if id.Index, err = strconv.Atoi(index); err == nil {
		id.Number, err = strconv.ParseInt(middle[dash+1:], 10, 64)
	}
	if err != nil || id.Index < 0 || id.Number < 0 || id.String() != s {
		return JobID{}, fmt.Errorf("job ID %.200q: index and number must be plain numbers: %w", s, ci.ErrInvalid)
	}
	return id, nil
}

// lowHex reports whether s is n digits of lower-case hexadecimal.
func lowHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

package door

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Key makes and verifies the tokens and tickets of agents. It is at least 32
// random bytes, known to the server alone, and the same over restarts; an empty
// Key accepts nothing. Neither needs a database: they name task and epoch by a
// keyed hash, and end with the lease, which every call checks.
type Key []byte

// Token returns the token for one hand-out of a task: it opens everything that
// its agent may do. An agent gets it when it claims the task, and shows it to
// nobody.
func (k Key) Token(task ci.TaskID, epoch int64) string { return k.sign("rondo door v1", task, epoch) }

// Ticket returns what an agent is started with: it is good for claiming that
// hand-out, and, as a hand-out is claimed once, for nothing after that. So it
// may pass through hands that could read it later, as those of a cluster.
func (k Key) Ticket(task ci.TaskID, epoch int64) string {
	return k.sign("rondo door ticket v1", task, epoch)
}

func (k Key) sign(what string, task ci.TaskID, epoch int64) string {
	m := hmac.New(sha256.New, k)
	// The number comes first and has no separator in it, so no two pairs of
	// task and epoch are written the same way.
	m.Write([]byte(what + "\n" + strconv.FormatInt(epoch, 10) + "\n" + string(task)))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Valid reports whether the token is the one for that hand-out, in a time that
// does not depend on how much of it is right.
func (k Key) Valid(token string, task ci.TaskID, epoch int64) bool {
	return len(k) > 0 && hmac.Equal([]byte(token), []byte(k.Token(task, epoch)))
}

// Admits is Valid for tickets.
func (k Key) Admits(ticket string, task ci.TaskID, epoch int64) bool {
	return len(k) > 0 && hmac.Equal([]byte(ticket), []byte(k.Ticket(task, epoch)))
}

// newProof returns what an agent shows with its ticket, and never to anybody
// else: only who has it may claim again when the answer got lost.
func newProof() string {
	var random [18]byte
	_, _ = rand.Read(random[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// minProof is how long a proof is at least.
const minProof = 20

// printSize is how many bytes of a proof's hash stand behind a worker's name.
const printSize = 12

// workerOf is the name by which leases know the agent with that proof. Names
// are shown to people; the proof does not follow from one.
func workerOf(name, proof string) string {
	sum := sha256.Sum256([]byte("rondo worker v1\n" + proof))
	return name + "/" + hex.EncodeToString(sum[:printSize])
}

// nameOf is how the agent called itself that has the lease of a worker.
func nameOf(worker string) string {
	i := strings.LastIndexByte(worker, '/')
	if i < 0 || len(worker)-i-1 != 2*printSize {
		return worker
	}
	return worker[:i]
}

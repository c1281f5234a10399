package door

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"github.com/rondo-ci/rondo/ci"
)

// A Key makes and verifies the tokens of agents. It is at least 32 random
// bytes, known to the server alone, and the same over restarts; an empty Key
// accepts nothing. A token needs no database: it names its task and epoch by a
// keyed hash, and ends with the lease, which every call checks.
type Key []byte

// Token returns the token for one hand-out of a task.
func (k Key) Token(task ci.TaskID, epoch int64) string {
	m := hmac.New(sha256.New, k)
	// The number comes first and has no separator in it, so no two pairs of
	// task and epoch are written the same way.
	m.Write([]byte("rondo door v1\n" + strconv.FormatInt(epoch, 10) + "\n" + string(task)))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Valid reports whether the token is the one for that hand-out, in a time that
// does not depend on how much of it is right. It is what [Handler] wants.
func (k Key) Valid(token string, task ci.TaskID, epoch int64) bool {
	return len(k) > 0 && hmac.Equal([]byte(token), []byte(k.Token(task, epoch)))
}

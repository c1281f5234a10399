package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a request between servers: who sent it, and that a server
// says so.
const (
	signatureHeader = "Rondo-Relay"
	clientHeader    = "Rondo-Relay-Client"
)

// signatureTime is how long a signature is good. The clocks of the servers may
// differ by as much.
const signatureTime = time.Minute

// sign adds the client's address, and a signature of it, the line, the time
// and what is asked for.
func (r *Relay) sign(line, client string, q *http.Request) {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	q.Header.Set(clientHeader, client)
	q.Header.Set(signatureHeader, strings.Join([]string{line, at, r.mac(line, at, client, q)}, " "))
}

func (r *Relay) mac(line, at, client string, q *http.Request) string {
	m := hmac.New(sha256.New, r.key)
	for _, part := range []string{line, at, client, q.Method, q.Host, q.URL.RequestURI()} {
		_, _ = fmt.Fprintf(m, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(m.Sum(nil))
}

// verify checks the signature, and makes the request what it was when it came
// to the other server. It returns its line.
func (r *Relay) verify(q *http.Request) (line string, ok bool) {
	parts := strings.Split(q.Header.Get(signatureHeader), " ")
	if len(parts) != 3 || r.local[parts[0]] == nil {
		return "", false
	}
	seconds, err := strconv.ParseInt(parts[1], 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age > signatureTime || age < -signatureTime {
		return "", false
	}
	client := q.Header.Get(clientHeader)
	if !hmac.Equal([]byte(parts[2]), []byte(r.mac(parts[0], parts[1], client, q))) {
		return "", false
	}
	q.RemoteAddr = client
	q.Header.Del(signatureHeader)
	q.Header.Del(clientHeader)
	return parts[0], true
}

package api

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// outputLife is how long the address of an output is good: long enough to fetch
// all outputs of a long build, short enough to be worthless in an old log.
const outputLife = time.Hour

// outputKey returns a key that is fit to sign.
func outputKey(given []byte) []byte {
	if len(given) > 0 {
		return slices.Clone(given)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return key
}

// An outputMessage is a piece of output on the wire of v1.1.
type outputMessage struct {
	Type    string `json:"type"`
	Time    stamp  `json:"time"`
	Message string `json:"message"`
}

// outputURL returns an address of a step's output that needs no token.
func (c *call) outputURL(key ci.LogKey) string {
	id, node, _ := key.Task.Split()
	expires := strconv.FormatInt(time.Now().Add(outputLife).Unix(), 10)
	q := url.Values{"expires": {expires}, "signature": {c.signature(key, expires)}}
	return fmt.Sprintf("%s%s/rondo/output/%s/%d/%d/%d?%s", c.cfg.URL, root1, url.PathEscape(string(id)), node, key.Epoch, key.Step, q.Encode())
}

func (c *call) signature(key ci.LogKey, expires string) string {
	m := hmac.New(sha256.New, c.outputKey)
	fmt.Fprintf(m, "rondo output v1\n%s\n%d\n%d\n%s", key.Task, key.Epoch, key.Step, expires)
	return hex.EncodeToString(m.Sum(nil))
}

// signedOutput sends the output of a step to whoever has its address.
func (c *call) signedOutput() (any, error) {
	q := c.r.URL.Query()
	node, bad1 := strconv.Atoi(c.r.PathValue("node"))
	epoch, bad2 := strconv.ParseInt(c.r.PathValue("epoch"), 10, 64)
	step, bad3 := strconv.Atoi(c.r.PathValue("step"))
	expires, bad4 := strconv.ParseInt(q.Get("expires"), 10, 64)
	key := ci.LogKey{Task: ci.JobID(c.r.PathValue("job_id")).Task(node), Epoch: epoch, Step: step}
	good := hmac.Equal([]byte(c.signature(key, q.Get("expires"))), []byte(q.Get("signature")))
	switch {
	case errors.Join(bad1, bad2, bad3, bad4) != nil || !good:
		return nil, refuse(http.StatusForbidden, "The signature of this address is wrong. Get the build again for a new one.")
	case time.Now().Unix() >= expires:
		return nil, refuse(http.StatusForbidden, "This address has expired. Get the build again for a new one.")
	}
	began, err := c.stepStart(key)
	if err != nil {
		return nil, err
	}
	size, err := c.logs.Size(c.r.Context(), key)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	if size == 0 {
		return []outputMessage{}, nil
	}
	r, err := c.logs.Read(c.r.Context(), key, 0)
	if err != nil {
		return nil, named(err, "Output")
	}
	defer r.Close()
	return written, c.sendMessages(io.LimitReader(r, size), began)
}

// stepStart returns when a step began, which is the only time there is for its
// output.
func (c *call) stepStart(key ci.LogKey) (time.Time, error) {
	steps, err := c.read.Steps(c.r.Context(), key.Task, key.Epoch)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return time.Time{}, err
	}
	for _, s := range steps {
		if s.Index == key.Step {
			return s.Started, nil
		}
	}
	return time.Time{}, nil
}

// pieceSize is how much output one message holds, so that long output costs no
// more memory than that.
const pieceSize = 256 << 10

// sendMessages writes output as an array of messages. A message ends with a
// line, if a line ends in it at all, and with a whole character.
func (c *call) sendMessages(r io.Reader, began time.Time) error {
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	s := newStream(c.w)
	defer s.close()
	buf, n := make([]byte, pieceSize), 0
	lead := "["
	for {
		m, err := io.ReadFull(r, buf[n:])
		n += m
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return cutOff(c.w, err)
		}
		end := n
		if !last {
			if end = bytes.LastIndexByte(buf[:n], '\n') + 1; end == 0 {
				end = wholeRunes(buf[:n])
			}
		}
		if end > 0 {
			data, err := json.Marshal(outputMessage{"out", stampOf(began), string(buf[:end])})
			if err != nil {
				return cutOff(c.w, err)
			}
			if _, err := s.Write(append([]byte(lead), data...)); err != nil {
				return nil // the client has gone
			}
			lead = ","
		}
		n = copy(buf, buf[end:n])
		if last {
			break
		}
	}
	tail := "]"
	if lead == "[" {
		tail = "[]"
	}
	_, _ = s.Write([]byte(tail))
	return nil
}

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// logPath returns the path of a step's output.
func logPath(k ci.LogKey) string {
	q := url.Values{"task": {string(k.Task)}, "epoch": {strconv.FormatInt(k.Epoch, 10)}, "step": {strconv.Itoa(k.Step)}}
	return root + "/rondo/log?" + q.Encode()
}

// number reads a number of the query that is not negative; absent is def.
func (c *call) number(name string, def int64) (int64, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s must be a number, not %.50q: %w", name, text, ci.ErrInvalid)
	}
	return n, nil
}

// readLog sends the output of a step: its bytes as they are, or as events whose
// numbers are offsets.
func (c *call) readLog() (any, error) {
	key, err := c.logKey()
	if err != nil {
		return nil, err
	}
	offset, err := c.number("offset", 0)
	if err != nil {
		return nil, err
	}
	limit, err := c.number("limit", -1)
	if err != nil {
		return nil, err
	}
	events := strings.Contains(c.r.Header.Get("Accept"), "text/event-stream")
	if last := c.r.Header.Get("Last-Event-ID"); last != "" && events {
		if offset, err = strconv.ParseInt(last, 10, 64); err != nil || offset < 0 {
			return nil, fmt.Errorf("Last-Event-ID is not one of this stream: %w", ci.ErrInvalid)
		}
	}
	size, err := c.logs.Size(c.r.Context(), key)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	if offset > size {
		return nil, refuse(http.StatusRequestedRangeNotSatisfiable, fmt.Sprintf("The output has %d bytes.", size))
	}
	if events {
		return c.logEvents(key, offset)
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Rondo-Offset", strconv.FormatInt(offset, 10))
	h.Set("Rondo-Size", strconv.FormatInt(size, 10))
	if c.r.URL.Query().Get("follow") == "true" {
		return c.followLog(key, offset, limit)
	}
	return c.sendLog(key, offset, limit, size)
}

// logKey finds out whose output is asked for, and whether the caller may see
// it. The newest hand-out is the default.
func (c *call) logKey() (ci.LogKey, error) {
	key := ci.LogKey{Task: ci.TaskID(c.r.URL.Query().Get("task"))}
	id, index, ok := key.Task.Split()
	if !ok {
		return key, fmt.Errorf("task must be given as job.node: %w", ci.ErrInvalid)
	}
	step, err := c.number("step", 0)
	if err != nil {
		return key, err
	}
	if key.Step = int(step); int64(key.Step) != step {
		return key, ci.ErrNotFound
	}
	if key.Epoch, err = c.number("epoch", 0); err != nil {
		return key, err
	}
	c.r.SetPathValue("job_id", string(id))
	f, err := c.job(false)
	if err != nil {
		return key, err
	}
	if index >= len(f.job.Tasks) {
		return key, refuse(http.StatusNotFound, "Task not found")
	}
	if key.Epoch == 0 {
		key.Epoch = f.job.Tasks[index].Epoch
	}
	if key.Epoch == 0 {
		return key, refuse(http.StatusNotFound, "The task has not begun.")
	}
	return key, nil
}

// sendLog sends what there is now.
func (c *call) sendLog(key ci.LogKey, offset, limit, size int64) (any, error) {
	n := size - offset
	if limit >= 0 {
		n = min(n, limit)
	}
	var r io.ReadCloser = io.NopCloser(strings.NewReader(""))
	if n > 0 {
		var err error
		if r, err = c.logs.Read(c.r.Context(), key, offset); err != nil {
			return nil, named(err, "Output")
		}
	}
	defer r.Close()
	c.w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return written, nil
	}
	s := newStream(c.w)
	defer s.close()
	_, err := io.CopyBuffer(struct{ io.Writer }{s}, io.LimitReader(r, n), make([]byte, 64<<10))
	return written, err
}

// followLog sends what there is and what comes, until the task ends or the
// limit is reached.
func (c *call) followLog(key ci.LogKey, offset, limit int64) (any, error) {
	c.w.WriteHeader(http.StatusOK)
	s := newStream(c.w)
	defer s.close()
	if err := s.flush(); err != nil || limit == 0 || c.r.Method == http.MethodHead {
		return written, nil
	}
	for chunk, err := range c.logs.Follow(c.r.Context(), key, offset) {
		if err != nil {
			return written, cutOff(c.w, err)
		}
		if !c.still() {
			return written, cutOff(c.w, nil)
		}
		if limit > 0 && int64(len(chunk)) > limit {
			chunk = chunk[:limit]
		}
		if _, err := s.Write(chunk); err != nil {
			return written, nil // the client has gone
		}
		if err := s.flush(); err != nil {
			return written, nil
		}
		if limit > 0 {
			if limit -= int64(len(chunk)); limit == 0 {
				break
			}
		}
	}
	return written, nil
}

// cutOff closes the connection in the midst of a reply without a length, so
// that the client does not take the part for the whole.
func cutOff(w http.ResponseWriter, err error) error {
	conn, _, hijackErr := http.NewResponseController(w).Hijack()
	if hijackErr == nil {
		_ = conn.Close()
	}
	return err
}

// logEvents sends output as events. The number of each is the offset behind it,
// so a browser resumes by itself. Event "end" says that no more comes.
func (c *call) logEvents(key ci.LogKey, offset int64) (any, error) {
	e := c.startEvents()
	defer e.stop()
	var held []byte // the beginning of a character whose end has not come
	send := func(text []byte) error {
		data, err := json.Marshal(string(text))
		if err != nil {
			return err
		}
		return e.send("output", uint64(offset), data)
	}
	for chunk, err := range c.logs.Follow(c.r.Context(), key, offset) {
		if err != nil {
			return written, err
		}
		if !c.still() {
			return written, nil
		}
		text := append(held, chunk...)
		n := wholeRunes(text)
		held = append([]byte(nil), text[n:]...)
		if n == 0 {
			continue
		}
		offset += int64(n)
		if send(text[:n]) != nil {
			return written, nil // the client has gone
		}
	}
	if len(held) > 0 {
		offset += int64(len(held))
		if send(held) != nil {
			return written, nil
		}
	}
	_ = e.send("end", uint64(offset), []byte("{}"))
	return written, nil
}

// wholeRunes returns how many bytes of text end with a whole character. What is
// not UTF-8 at all counts as whole.
func wholeRunes(text []byte) int {
	for i := 1; i <= min(utf8.UTFMax-1, len(text)); i++ {
		tail := text[len(text)-i:]
		if utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(text) - i
			}
			break
		}
	}
	return len(text)
}

package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/rondo-ci/rondo/ci"
)

// rawLimit is how much a ranged request for output as text gets at most.
const rawLimit = 1 << 20

// rawLog serves output as text: a range of a step's when the address has an
// offset or a limit, a whole step's when it has a step, and all steps of the
// task otherwise. Bytes are those that the step printed.
func (s *site) rawLog(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	f := r.URL.Query()
	if f.Get("step") == "" {
		return s.wholeLog(w, r, at)
	}
	key, err := stepKey(r, at)
	if err != nil {
		return err
	}
	size, err := s.cfg.Logs.Size(r.Context(), key)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	offset, limit := int64(0), size
	if v := f.Get("offset"); v != "" {
		if offset, err = strconv.ParseInt(v, 10, 64); err != nil || offset < 0 {
			return fmt.Errorf("read output: %.100q is not an offset: %w", v, ci.ErrInvalid)
		}
		limit = excerptBytes
	}
	if v := f.Get("limit"); v != "" {
		if limit, err = strconv.ParseInt(v, 10, 64); err != nil || limit < 0 {
			return fmt.Errorf("read output: %.100q is not a limit: %w", v, ci.ErrInvalid)
		}
		limit = min(limit, rawLimit)
	}
	offset = min(offset, size)
	n := min(limit, size-offset)
	h := textHeaders(w, fmt.Sprintf("job-%d-step-%d.log", at.job.Number, key.Step))
	h.Set("Rondo-Log-Offset", itoa(offset))
	h.Set("Rondo-Log-Size", itoa(size))
	h.Set("Content-Length", itoa(n))
	if r.Method == http.MethodHead || n == 0 {
		return nil
	}
	return s.copyLog(w, r, key, offset, n)
}

// copyLog streams a range of output. The answer has begun, so a fault cuts it
// off.
func (s *site) copyLog(w http.ResponseWriter, r *http.Request, key ci.LogKey, offset, n int64) error {
	out, err := s.cfg.Logs.Read(r.Context(), key, offset)
	if err != nil {
		return s.broken(r, err)
	}
	defer out.Close()
	to := steadily(w)
	defer to.close()
	if _, err := io.CopyN(to, out, n); err != nil {
		return s.broken(r, err)
	}
	return nil
}

// broken ends an answer that has begun. Its length was told, so net/http cuts
// the connection and the client sees that it is not whole.
func (s *site) broken(r *http.Request, err error) error {
	if !isGone(r, err) {
		s.log.Warn("answer cut off", "path", clean(r.URL.Path, 200, false), "err", err)
	}
	return errBroken
}

// wholeLog serves the output of all steps of a task, each under a line with
// its name.
func (s *site) wholeLog(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	steps, err := s.read.Steps(r.Context(), at.task(), at.epoch)
	if err != nil {
		return err
	}
	if at.epoch == 0 {
		steps = nil
	}
	total := int64(0)
	sizes, heads := make([]int64, len(steps)), make([]string, len(steps))
	for i, step := range steps {
		sizes[i], err = s.cfg.Logs.Size(r.Context(), at.logKey(step.Index))
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return err
		}
		heads[i] = fmt.Sprintf("==> %s (%s, exit code %d)\n", show(step.Name), step.Status, step.ExitCode)
		total += int64(len(heads[i])) + sizes[i] + 1
	}
	h := textHeaders(w, fmt.Sprintf("job-%d-node-%d.log", at.job.Number, at.node))
	h.Set("Content-Length", itoa(total))
	if r.Method == http.MethodHead {
		return nil
	}
	for i, step := range steps {
		if _, err := io.WriteString(w, heads[i]); err != nil {
			return nil // the reader is gone
		}
		if sizes[i] > 0 {
			if err := s.copyLog(w, r, at.logKey(step.Index), 0, sizes[i]); err != nil {
				return err
			}
		}
		_, _ = io.WriteString(w, "\n") // nobody is left to tell
	}
	return nil
}

// stepKey returns the output that an address names.
func stepKey(r *http.Request, at jobPlace) (ci.LogKey, error) {
	v := r.URL.Query().Get("step")
	step, err := strconv.ParseUint(v, 10, 31)
	if err != nil || at.epoch == 0 {
		return ci.LogKey{}, fmt.Errorf("step %.100q: %w", v, ci.ErrNotFound)
	}
	return at.logKey(int(step)), nil
}

// textHeaders makes the answer a text that no browser runs or sniffs.
func textHeaders(w http.ResponseWriter, name string) http.Header {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	return h
}

// output serves the range of a step's output before an offset (end) as HTML,
// for the script to put on the page. Rondo-Log-From is where it begins.
func (s *site) output(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	key, err := stepKey(r, at)
	if err != nil {
		return err
	}
	end := int64(-1)
	if v := r.URL.Query().Get("end"); v != "" {
		if end, err = strconv.ParseInt(v, 10, 64); err != nil || end < 0 {
			return fmt.Errorf("read output: %.100q is not an offset: %w", v, ci.ErrInvalid)
		}
	}
	x, err := s.excerpt(r.Context(), key, end, excerptBytes)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Rondo-Log-From", itoa(x.From))
	h.Set("Rondo-Log-Size", itoa(x.Size))
	out := steadily(w)
	defer out.close()
	_, _ = io.WriteString(out, string(x.HTML+x.Tail)) // nobody is left to tell
	return nil
}

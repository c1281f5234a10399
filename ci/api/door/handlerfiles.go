package door

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// fileQuery writes what names a file into an address.
func fileQuery(q url.Values, f ci.File) {
	q.Set("kind", string(f.Kind))
	q.Set("name", f.Name)
	if f.Task != "" {
		q.Set("task", string(f.Task))
	}
	if f.Epoch != 0 {
		q.Set("epoch", strconv.FormatInt(f.Epoch, 10))
	}
	if f.SHA256 != "" {
		q.Set("sha256", f.SHA256)
	}
	if f.Size != 0 {
		q.Set("size", strconv.FormatInt(f.Size, 10))
	}
}

// file reads what [fileQuery] wrote.
func (x *exchange) file() (ci.File, error) {
	q := x.r.URL.Query()
	f := ci.File{
		Kind: ci.FileKind(q.Get("kind")), Name: q.Get("name"),
		Task: ci.TaskID(q.Get("task")), SHA256: q.Get("sha256"),
	}
	for name, n := range map[string]*int64{"epoch": &f.Epoch, "size": &f.Size} {
		if text := q.Get(name); text != "" {
			v, err := strconv.ParseInt(text, 10, 64)
			if err != nil || v < 0 {
				return f, fmt.Errorf("%s %q: %w", name, text, ci.ErrInvalid)
			}
			*n = v
		}
	}
	return f, nil
}

// drained is how many bytes of a refused file are read on behind the answer.
const drained = 8 << 20

func (x *exchange) putFile() error {
	f, err := x.file()
	if err != nil {
		return err
	}
	in := &upload{x: x, sum: sha256.New()}
	stored, err := x.d.PutFile(x.r.Context(), x.lease, f, in)
	if err == nil {
		return x.answer(stored)
	}
	// A sender that is still sending may see a broken connection before it sees
	// the answer: answer first, and then read on until it has stopped.
	_ = x.control.EnableFullDuplex()
	x.fail(err, problem{File: named(stored)})
	_ = x.control.Flush()
	x.readWithin(smallTimeout)
	_, _ = io.CopyN(io.Discard, x.r.Body, drained)
	return nil
}

// An upload is the body of a file on its way in. It ends with io.EOF only when
// the sender has said, after the last byte, what all bytes sum up to. A sender
// that stalls is cut off.
type upload struct {
	x     *exchange
	sum   hash.Hash
	moved time.Time // when the deadline was last pushed
}

func (u *upload) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(u.moved) > time.Second {
		u.moved = now
		u.x.readWithin(pieceTimeout)
	}
	n, err := u.x.r.Body.Read(p)
	u.sum.Write(p[:n])
	switch {
	case err == io.EOF:
		// The commit that follows may take long.
		u.x.readWithin(0)
		if u.x.r.Trailer.Get(headerDigest) != digest(u.sum) {
			return 0, &bodyError{errors.New("the file was cut short or damaged: its digest does not match")}
		}
	case err != nil:
		return 0, &bodyError{err}
	}
	return n, err
}

func (x *exchange) findFiles() error {
	like, err := x.file()
	if err != nil {
		return err
	}
	found, err := x.d.FindFiles(x.r.Context(), x.lease, like)
	if err != nil {
		return err
	}
	return x.answer(found)
}

// openFile sends a file. Whether it was sent whole is said behind it, since
// only then it is known.
func (x *exchange) openFile() error {
	f, err := x.file()
	if err != nil {
		return err
	}
	if x.r.Header.Get(headerDirect) != "" {
		if linked, err := x.linkFile(f); linked || err != nil {
			return err
		}
	}
	r, err := x.d.OpenFile(x.r.Context(), x.lease, f)
	if err != nil {
		return err
	}
	defer r.Close()
	h := x.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", headerResult)
	x.replied = true
	x.w.WriteHeader(http.StatusOK)
	buf := make([]byte, 256<<10)
	_, err = io.CopyBuffer(struct{ io.Writer }{&download{x: x}}, struct{ io.Reader }{r}, buf)
	result := "ok"
	if err != nil {
		result, _ = codeOf(err)
		if x.r.Context().Err() == nil {
			x.d.log.Error("door", "call", "open file", "task", x.lease.Task, "kind", f.Kind, "name", f.Name, "err", err)
		}
	}
	h.Set(headerResult, result)
	return nil
}

// A download writes a file to a client that may be slow, but not dead.
type download struct {
	x     *exchange
	moved time.Time
}

func (d *download) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(d.moved) > time.Second {
		d.moved = now
		d.x.writeWithin(pieceTimeout)
	}
	return d.x.w.Write(p)
}

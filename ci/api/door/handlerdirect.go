package door

import (
	"strconv"

	"github.com/rondo-ci/rondo/ci"
)

// offer says that large files may go to the bucket itself.
func (x *exchange) offer() {
	if x.d.cfg.Direct == nil {
		return
	}
	if from := x.d.cfg.Direct.DirectFrom(); from > 0 {
		x.w.Header().Set(headerDirect, strconv.FormatInt(from, 10))
	}
}

// upload reads what names a file and its parts.
func (x *exchange) upload() (f ci.File, u ci.Upload, err error) {
	if f, err = x.file(); err == nil {
		err = x.decode(maxSmall, &u)
	}
	return f, u, err
}

func (x *exchange) beginFile() error {
	f, u, err := x.upload()
	if err != nil {
		return err
	}
	was, u, err := x.d.BeginFile(x.r.Context(), x.lease, f, u)
	if err != nil {
		x.fail(err, problem{File: named(was)})
		return nil
	}
	u.Sums = nil // the sender knows them
	return x.answer(begun{File: named(was), Upload: u})
}

func (x *exchange) commitFile() error {
	f, u, err := x.upload()
	if err != nil {
		return err
	}
	stored, err := x.d.CommitFile(x.r.Context(), x.lease, f, u)
	if err != nil {
		x.fail(err, problem{File: named(stored)})
		return nil
	}
	return x.answer(stored)
}

// linkFile answers with a link to the file, if there is one.
func (x *exchange) linkFile(f ci.File) (linked bool, err error) {
	is, link, err := x.d.LinkFile(x.r.Context(), x.lease, f)
	if err != nil || link.URL == "" {
		return false, err
	}
	x.w.Header().Set(headerDirect, "link")
	return true, x.answer(begun{File: &is, Link: link})
}

// named returns the file if there is one.
func named(f ci.File) *ci.File {
	if f.Name == "" {
		return nil
	}
	return &f
}

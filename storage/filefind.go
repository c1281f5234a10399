package storage

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/ci"
)

// findAhead is how many trailers are read at the same time.
const findAhead = 16

// FindFiles yields the files of like's Kind whose names begin with like.Name:
// of a cache, those of the project, the newest first; of an artifact or a
// layer, those of like's Task and Epoch, by name (layers by number). An empty
// Name finds all. What is not whole is left out. An error ends the sequence.
//
// The names that match are held in memory while it runs.
func (s *Files) FindFiles(ctx context.Context, project ci.ProjectID, like ci.File) iter.Seq2[ci.File, error] {
	return func(yield func(ci.File, error) bool) {
		found, err := s.list(ctx, project, like)
		if err != nil {
			yield(ci.File{}, fileError("find", like, err))
			return
		}
		for f, err := range s.stats(ctx, found, like) {
			if err != nil {
				err = fileError("find", like, err)
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// An object is a file as a listing shows it.
type object struct {
	key    string
	name   string // "" until it has been read from the object
	size   int64  // of the object
	stored time.Time
}

// list returns the objects that FindFiles yields, in order.
func (s *Files) list(ctx context.Context, project ci.ProjectID, like ci.File) ([]object, error) {
	dir, err := folder(project, like)
	if err != nil {
		return nil, err
	}
	prefix, used := escapeName(like.Name)
	var found []object
	objects := s.bucket.List(&blob.ListOptions{Prefix: dir + prefix})
	for {
		o, err := objects.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		name, ok := unescapeName(strings.TrimPrefix(o.Key, dir))
		if ok && used < len(like.Name) {
			continue // shorter than what is looked for
		}
		found = append(found, object{o.Key, name, o.Size, o.ModTime})
	}
	if err := s.order(ctx, found, like.Kind); err != nil {
		return nil, err
	}
	return found, nil
}

// order sorts what was found.
func (s *Files) order(ctx context.Context, found []object, kind ci.FileKind) error {
	switch kind {
	case ci.FileCache:
		slices.SortFunc(found, func(a, b object) int {
			return cmp.Or(b.stored.Compare(a.stored), strings.Compare(a.key, b.key))
		})
		return s.orderTies(ctx, found)
	case ci.FileWorkspace:
		slices.SortFunc(found, func(a, b object) int {
			m, _ := strconv.Atoi(a.name)
			n, _ := strconv.Atoi(b.name)
			return cmp.Compare(m, n)
		})
	case ci.FileArtifact:
		for i, o := range found {
			if o.name != "" {
				continue
			}
			f, err := s.stat(ctx, o.key, ci.File{Kind: kind}, o.size)
			if err != nil && !absent(err) {
				return err
			}
			found[i].name = f.Name
		}
		slices.SortFunc(found, func(a, b object) int { return strings.Compare(a.name, b.name) })
	}
	return nil
}

// orderTies orders what the bucket says was stored at the same moment (object
// stores count in seconds) by what the objects themselves say.
func (s *Files) orderTies(ctx context.Context, found []object) error {
	for i := 0; i < len(found); {
		n := i + 1
		for n < len(found) && found[n].stored.Equal(found[i].stored) {
			n++
		}
		tied := found[i:n]
		i = n
		if len(tied) == 1 {
			continue
		}
		for j, o := range tied {
			f, err := s.stat(ctx, o.key, ci.File{Kind: ci.FileCache}, o.size)
			if err != nil && !absent(err) {
				return err
			}
			tied[j].stored = f.Stored
		}
		slices.SortStableFunc(tied, func(a, b object) int { return b.stored.Compare(a.stored) })
	}
	return nil
}

// absent says whether an object is not there as a whole.
func absent(err error) bool { return errors.Is(err, ci.ErrNotFound) || errors.Is(err, ErrCorrupt) }

// stats yields the files of the objects in order, reading a few ahead. What is
// absent, or does not match, is left out.
func (s *Files) stats(ctx context.Context, found []object, like ci.File) iter.Seq2[ci.File, error] {
	return func(yield func(ci.File, error) bool) {
		type result struct {
			f   ci.File
			err error
		}
		for ahead := 1; len(found) > 0; ahead = findAhead { // the first alone: often it is enough
			now := found[:min(ahead, len(found))]
			found = found[len(now):]
			results := make([]result, len(now))
			var wg sync.WaitGroup
			for i, o := range now {
				wg.Go(func() { results[i].f, results[i].err = s.stat(ctx, o.key, like, o.size) })
			}
			wg.Wait()
			for _, r := range results {
				if absent(r.err) || r.err == nil && !strings.HasPrefix(r.f.Name, like.Name) {
					continue
				}
				if !yield(r.f, r.err) || r.err != nil {
					return
				}
			}
		}
	}
}

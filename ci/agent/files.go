package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/archive"
	"github.com/rondo-ci/rondo/ci/agent/tool"
)

// fileTime is how long a file operation that gets no further is tried again
// before its step gives up: storage may be away for a while, or its disk full
// until someone sees it. A large file on a slow line takes longer.
const fileTime = 2 * time.Minute

// fileTry calls f until it succeeds, refuses for good, or the time is over.
// While f moves more bytes than it did in any try before, there is time.
func (s *session) fileTry(ctx context.Context, f func(ctx context.Context, moved func(n int)) error) error {
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	end := time.AfterFunc(fileTime, func() { stop(fmt.Errorf("tried for %v", fileTime)) })
	defer end.Stop()
	var most, now atomic.Int64 // bytes that were moved in the best try and in this one
	moved := func(n int) {
		if all := now.Add(int64(n)); n > 0 && all > most.Load() {
			most.Store(all)
			end.Reset(fileTime)
		}
	}
	said := false
	return retry(limited, func() error {
		if err := s.lease.check(limited); err != nil {
			return err
		}
		now.Store(0)
		err := f(limited, moved)
		if err != nil && !final(err) && !said && limited.Err() == nil && s.current != nil {
			said = true
			fmt.Fprintf(s.current.out, "%v; trying again for up to %v\n", err, fileTime)
		}
		return err
	})
}

// put stores a file whose content open gives, each time it is asked. exists
// says that it was there before.
func (s *session) put(ctx context.Context, f ci.File, open func() (content, error)) (kept ci.File, exists bool, err error) {
	if f.Kind != ci.FileCache {
		f.Task, f.Epoch = s.work.Lease.Task, s.work.Lease.Epoch
	}
	err = s.fileTry(ctx, func(ctx context.Context, moved func(int)) error {
		c, err := open()
		if err != nil {
			return fmt.Errorf("%w: %w", err, ci.ErrInvalid) // ours, and no better next time
		}
		defer c.close()
		kept, err = s.agent.files.PutFile(ctx, s.lease.lease, f, &moving{io.NewSectionReader(c.from, 0, c.size), moved})
		return err
	})
	if errors.Is(err, ci.ErrConflict) && s.lease.ctx.Err() == nil {
		// The name is taken, or the lease is gone.
		if s.lease.renew(ctx) == nil {
			return kept, true, nil
		}
	}
	if err != nil {
		return kept, false, fmt.Errorf("store %s %s: %w", f.Kind, f.Name, err)
	}
	return kept, false, nil
}

// A content is the bytes of a file to be stored, until close.
type content struct {
	from  io.ReaderAt
	size  int64
	close func()
}

// moving is a content that tells how much of it is read. That it can be read
// from anywhere lets a client send it in parts.
type moving struct {
	*io.SectionReader
	moved func(n int)
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.SectionReader.Read(p)
	m.moved(n)
	return n, err
}

func (m *moving) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.SectionReader.ReadAt(p, off)
	m.moved(n)
	return n, err
}

// arriving is where a file goes that is fetched.
type arriving struct {
	to    io.Writer
	moved func(n int)
}

func (a arriving) Write(p []byte) (int, error) {
	n, err := a.to.Write(p)
	a.moved(n)
	return n, err
}

// find lists files.
func (s *session) findFiles(ctx context.Context, like ci.File) (found []ci.File, err error) {
	err = s.fileTry(ctx, func(ctx context.Context, _ func(int)) error {
		found, err = s.agent.files.FindFiles(ctx, s.lease.lease, like)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", like.Kind, err)
	}
	return found, nil
}

// errDamaged says that a stored file is not what was stored.
var errDamaged = errors.New("the stored file is damaged")

// fetch copies a stored file into the scratch folder and returns it, open at
// its beginning, when it has proved to be whole. The caller closes it.
func (s *session) fetch(ctx context.Context, f ci.File) (*os.File, error) {
	tmp, err := s.tempFile()
	if err != nil {
		return nil, err
	}
	tries := 0
	err = s.fileTry(ctx, func(ctx context.Context, moved func(int)) error {
		if _, err := tmp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := tmp.Truncate(0); err != nil {
			return err
		}
		r, err := s.agent.files.OpenFile(ctx, s.lease.lease, f)
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err = io.Copy(arriving{tmp, moved}, r); err != nil && ctx.Err() == nil {
			// A line that breaks and a disk that rots look alike: look twice.
			if tries++; tries >= 3 || errors.Is(err, ci.ErrInvalid) {
				return fmt.Errorf("%w: %w: %w", errDamaged, err, ci.ErrInvalid)
			}
		}
		return err
	})
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = tmp.Close()
		return nil, fmt.Errorf("read %s %s: %w", f.Kind, f.Name, err)
	}
	return tmp, nil
}

// write writes a file of the agent's own, anew: a job may have put a pipe or a
// link in its place.
func (s *session) write(file string, data []byte, mode os.FileMode) error {
	return s.within(func() error {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	})
}

// tempFile makes a file that has no name and ends with its last user.
func (s *session) tempFile() (*os.File, error) {
	s.files++
	name := filepath.Join(s.layout.Private, fmt.Sprintf("file-%d", s.files))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return f, os.Remove(name)
}

// pack packs the sources into a temporary file.
func (s *session) pack(ctx context.Context, st *step, sources []archive.Source) (*os.File, archive.Stats, error) {
	tmp, err := s.tempFile()
	if err != nil {
		return nil, archive.Stats{}, err
	}
	var stats archive.Stats
	err = s.within(func() (err error) {
		stats, err = archive.Pack(ctx, tmp, sources, archive.Limits{}, func(path string, why error) {
			fmt.Fprintf(st.out, "Warning: left out %s: %v\n", s.show(path), why)
		})
		return err
	})
	if err != nil {
		_ = tmp.Close()
		return nil, stats, err
	}
	return tmp, stats, nil
}

// again returns what gives the whole file anew each time.
func again(f *os.File) func() (content, error) {
	return func() (content, error) {
		info, err := f.Stat()
		if err != nil {
			return content{}, err
		}
		return content{f, info.Size(), func() {}}, nil
	}
}

// size prints a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, prefix := float64(n)/unit, 0
	for f >= unit && prefix < 3 {
		f /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGT"[prefix])
}

// fetchTimings gets the tests of an earlier run for the tool, beside the
// steps, if the job has several nodes to deal tests out to.
func (s *session) fetchTimings(ctx context.Context) {
	if s.work.Task.Total < 2 {
		return
	}
	pending := filepath.Join(s.taskData(), tool.PendingFile)
	if s.write(pending, nil, 0o644) != nil {
		return
	}
	s.beside.Go(func() {
		defer func() { _ = s.within(func() error { return os.Remove(pending) }) }()
		ctx, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		tests, err := s.agent.door.Timings(ctx, s.lease.lease)
		if err != nil && ctx.Err() == nil {
			s.agent.cfg.Log.Warn("get timings of tests", "task", s.work.Lease.Task, "err", err)
			return
		}
		if b, err := json.Marshal(tests); err == nil && len(tests) > 0 {
			file := filepath.Join(s.taskData(), tool.TimingsFile)
			if s.write(file+".new", b, 0o644) == nil {
				_ = s.within(func() error { return os.Rename(file+".new", file) })
			}
		}
	})
}

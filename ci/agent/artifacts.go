package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// Bounds of one store_artifacts step.
const (
	maxArtifacts     = 100_000
	maxArtifact      = 32 << 30 // bytes of one; what a server takes by default
	artifactsAtATime = 8
)

// An artifact is a file to be stored.
type artifact struct {
	file string // on disk
	name string // in the listing
}

// storeArtifacts stores a file, or all files of a directory. That there is
// nothing to store is no failure.
func (s *session) storeArtifacts(ctx context.Context, st *step, spec ci.StepSpec) result {
	at := s.absolute(spec.Path, s.dir)
	name := artifactName(spec.Destination)
	if name == "" {
		name = artifactName(filepath.Base(at))
	}
	list := []artifact{{at, name}}
	var none error
	err := s.within(func() (err error) {
		var info fs.FileInfo
		if info, none = os.Stat(at); none == nil && info.IsDir() {
			list, err = s.artifactsIn(ctx, st, at, name)
		}
		return err
	})
	if none != nil {
		fmt.Fprintf(st.out, "No artifacts: %s: %v\n", s.show(at), plain(none))
		return result{status: ci.Success}
	}
	if err != nil {
		return failed("%v", err)
	}
	fmt.Fprintf(st.out, "Uploading %s to %s\n", s.show(at), name)
	stored, err := s.uploadArtifacts(ctx, st, list)
	if err != nil {
		return result{status: ci.InfraFailed, code: 1, reason: "failed: " + err.Error()}
	}
	fmt.Fprintf(st.out, "Stored %d of %d files\n", stored, len(list))
	return result{status: ci.Success}
}

// artifactName returns a destination as a clean, relative name.
func artifactName(destination string) string {
	name := path.Clean("/" + filepath.ToSlash(strings.ReplaceAll(destination, "\x00", "")))[1:]
	if name == "~" {
		return ""
	}
	return strings.TrimPrefix(name, "~/")
}

// artifactsIn lists the files below a directory. A link counts if it leads to
// a file below it.
func (s *session) artifactsIn(ctx context.Context, st *step, dir, name string) ([]artifact, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	var list []artifact
	err = filepath.WalkDir(real, func(file string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			fmt.Fprintf(st.out, "Warning: left out %s: %v\n", s.show(file), plain(err))
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := filepath.EvalSymlinks(file)
			rel, relErr := filepath.Rel(real, target)
			if info, statErr := os.Stat(file); err != nil || relErr != nil || statErr != nil || !filepath.IsLocal(rel) || !info.Mode().IsRegular() {
				fmt.Fprintf(st.out, "Warning: left out %s: a link that leads to no file in the directory\n", s.show(file))
				return nil
			}
		} else if !d.Type().IsRegular() {
			fmt.Fprintf(st.out, "Warning: left out %s: not a regular file\n", s.show(file))
			return nil
		}
		if len(list) >= maxArtifacts {
			return fmt.Errorf("more than %d artifacts in %s", maxArtifacts, s.show(dir))
		}
		rel, err := filepath.Rel(real, file)
		list = append(list, artifact{file, path.Join(name, filepath.ToSlash(rel))})
		return err
	})
	return list, err
}

// uploadArtifacts stores the files, a few at a time, and returns how many are
// stored. A file that cannot be read, or that the store refuses for good, is
// left out; a store that does not work is an error.
func (s *session) uploadArtifacts(ctx context.Context, st *step, list []artifact) (int, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var stored atomic.Int64
	queue := make(chan artifact)
	var workers sync.WaitGroup
	for range min(artifactsAtATime, len(list)) {
		workers.Go(func() {
			for a := range queue {
				exists, err := s.uploadArtifact(ctx, a)
				var unreadable errUnreadable
				switch {
				case exists:
					fmt.Fprintf(st.out, "Warning: left out %s: this job has stored an artifact %s before\n", s.show(a.file), a.name)
				case err == nil:
					stored.Add(1)
				case errors.As(err, &unreadable):
					fmt.Fprintf(st.out, "Warning: left out %s: %v\n", s.show(a.file), unreadable.error)
				case errors.Is(err, ci.ErrInvalid): // a name that no store takes, or too large
					fmt.Fprintf(st.out, "Warning: left out %q: %s\n", s.show(a.file), withoutSentinel(err))
				default:
					stop(err)
				}
			}
		})
	}
	for _, a := range list {
		select {
		case queue <- a:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	workers.Wait()
	return int(stored.Load()), context.Cause(ctx)
}

// errUnreadable is a file of the job that cannot be read.
type errUnreadable struct{ error }

func (s *session) uploadArtifact(ctx context.Context, a artifact) (exists bool, err error) {
	name := s.secrets.String(a.name) // listings show it
	_, exists, err = s.put(ctx, ci.File{Kind: ci.FileArtifact, Name: name}, func() (content, error) {
		var f *os.File
		var info fs.FileInfo
		err := s.within(func() (err error) {
			f, info, err = archive.OpenFile(a.file)
			return err
		})
		if err == nil && info.Size() > maxArtifact { // a sparse file is easily made
			_ = f.Close()
			err = fmt.Errorf("%d bytes are more than the %d that an artifact may have", info.Size(), int64(maxArtifact))
		}
		if err != nil {
			return content{}, errUnreadable{err}
		}
		// What is appended meanwhile is not part of it: a log that grows while
		// it is read would never end.
		return content{f, info.Size(), func() { _ = f.Close() }}, nil
	})
	return exists, err
}

// plain takes the path out of an error of the operating system.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

package agenttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// PutFile implements agent.Files.
func (s *Server) PutFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return ci.File{}, err
	}
	t, err := s.enter(ctx, "PutFile", l)
	if err != nil {
		return ci.File{}, err
	}
	defer s.mu.Unlock()
	if f.Kind == ci.FileCache && f.Task != "" || f.Kind != ci.FileCache && (f.Task != l.Task || f.Epoch != l.Epoch) {
		s.problem("file %s %s says task %q, epoch %d", f.Kind, f.Name, f.Task, f.Epoch)
	}
	if f.Kind == ci.FileArtifact && strings.ContainsFunc(f.Name, unicode.IsControl) {
		return ci.File{}, fmt.Errorf("store %q: the name has control characters: %w", f.Name, ci.ErrInvalid)
	}
	project := t.work.Project.ID
	for _, old := range s.files {
		if old.project == project && old.file.Kind == f.Kind && old.file.Name == f.Name && old.file.Task == f.Task && old.file.Epoch == f.Epoch {
			return old.file, fmt.Errorf("store %s: exists: %w", f.Name, ci.ErrConflict)
		}
	}
	sum := sha256.Sum256(data)
	f.Size, f.SHA256, f.Stored = int64(len(data)), hex.EncodeToString(sum[:]), time.Now().UTC()
	s.files = append(s.files, stored{project, f, data})
	s.change()
	return f, nil
}

// FindFiles implements agent.Files.
func (s *Server) FindFiles(ctx context.Context, l ci.Lease, like ci.File) ([]ci.File, error) {
	t, err := s.enter(ctx, "FindFiles", l)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var found []ci.File
	for _, f := range s.files {
		if f.project == t.work.Project.ID && f.file.Kind == like.Kind && f.file.Task == like.Task &&
			f.file.Epoch == like.Epoch && strings.HasPrefix(f.file.Name, like.Name) {
			found = append(found, f.file)
		}
	}
	if like.Kind == ci.FileCache {
		slices.Reverse(found)
	} else {
		slices.SortFunc(found, func(a, b ci.File) int { return strings.Compare(a.Name, b.Name) })
	}
	return found, nil
}

// OpenFile implements agent.Files.
func (s *Server) OpenFile(ctx context.Context, l ci.Lease, f ci.File) (io.ReadCloser, error) {
	t, err := s.enter(ctx, "OpenFile", l)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for _, have := range slices.Backward(s.files) {
		if have.project == t.work.Project.ID && have.file.Kind == f.Kind && have.file.Name == f.Name &&
			have.file.Task == f.Task && have.file.Epoch == f.Epoch {
			sum := sha256.Sum256(have.data)
			data := io.Reader(bytes.NewReader(have.data))
			if hex.EncodeToString(sum[:]) != have.file.SHA256 {
				data = io.MultiReader(data, broken{})
			}
			return io.NopCloser(data), nil
		}
	}
	return nil, fmt.Errorf("open %s %s: %w", f.Kind, f.Name, ci.ErrNotFound)
}

// broken is the end of a file whose hash is wrong.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("hash is wrong: %w", ci.ErrInvalid) }

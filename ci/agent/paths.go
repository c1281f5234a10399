package agent

import (
	"os"
	"path/filepath"
	"strings"
)

// defaultDir is the working directory of a job that names none.
const defaultDir = "~/project"

// imageHomes are the home directories in the images that most jobs are written
// for. In a borrowed place they stand for the home of the steps, wherever that
// is.
var imageHomes = [...]string{"/home/circleci", "/root"}

// absolute returns the path of a file as the steps see it. A relative one is
// below dir.
func (s *session) absolute(path, dir string) string {
	home := s.layout.Home
	switch {
	case path == "":
		return dir
	case path == "~" || strings.HasPrefix(path, "~/"):
		return filepath.Join(home, path[1:])
	case filepath.IsAbs(path) && s.layout.Borrowed:
		return s.borrowed(filepath.Clean(path))
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// borrowed returns where a path of the image is in a place that has another
// file system than the image: below the home, if it is the image's home or
// begins with a folder that does not exist here. So jobs that share the
// machine do not meet in a folder that only one of them has in its image.
func (s *session) borrowed(path string) string {
	home := s.layout.Home
	if path == home || strings.HasPrefix(path, home+"/") || strings.HasPrefix(path, s.layout.Scratch+"/") {
		return path
	}
	for _, h := range imageHomes {
		if path == h || strings.HasPrefix(path, h+"/") {
			return filepath.Join(home, path[len(h):])
		}
	}
	top, _, _ := strings.Cut(path[1:], "/")
	here, known := s.tops[top]
	if !known {
		_, err := os.Lstat("/" + top)
		here = err == nil
		if s.tops == nil {
			s.tops = map[string]bool{}
		}
		s.tops[top] = here // for the whole job, whatever it makes there
	}
	if here {
		return path
	}
	return filepath.Join(home, path)
}

// find returns the absolute path of the file that a step names.
func (s *session) find(path string) string { return s.absolute(path, s.dir) }

// show shortens a path of the steps for people.
func (s *session) show(path string) string {
	if rel, err := filepath.Rel(s.layout.Home, path); err == nil && filepath.IsLocal(rel) {
		if rel == "." {
			return "~"
		}
		return "~/" + rel
	}
	return path
}

// What is in the scratch folder of every task. It is flat: making folders is
// the dearest part of a short task.
const (
	bashEnvFile = "bash_env"
	binDir      = "bin"
)

func (s *session) bashEnv() string              { return filepath.Join(s.layout.Scratch, bashEnvFile) }
func (s *session) taskData() string             { return s.layout.Scratch }
func (s *session) bin() string                  { return filepath.Join(s.layout.Scratch, binDir) }
func (s *session) temporary(name string) string { return filepath.Join(s.layout.Scratch, name) }

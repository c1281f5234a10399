package agent

import (
	"path/filepath"
	"strings"
)

// defaultDir is the working directory of a job that names none.
const defaultDir = "~/project"

// imageHome is the home directory in the images that most jobs are written
// for. It stands for the home of the steps, wherever that is.
const imageHome = "/home/circleci"

// absolute returns the path of a file as the steps see it. A relative one is
// below dir.
func (s *session) absolute(path, dir string) string {
	home := s.layout.Home
	switch {
	case path == "":
		return dir
	case path == "~" || strings.HasPrefix(path, "~/"):
		return filepath.Join(home, path[1:])
	case home != imageHome && (path == imageHome || strings.HasPrefix(path, imageHome+"/")):
		return filepath.Join(home, path[len(imageHome):])
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// find returns where this process finds the file that a step names.
func (s *session) find(path string) string { return s.place.Find(s.absolute(path, s.dir)) }

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

// The scratch folder is flat: making directories is the dearest part of a
// short task.
// What is in the scratch folder of every task.
const (
	bashEnvFile = "bash_env"
	binDir      = "bin"
)

func (s *session) bashEnv() string              { return filepath.Join(s.layout.Scratch, bashEnvFile) }
func (s *session) taskData() string             { return s.layout.Scratch }
func (s *session) bin() string                  { return filepath.Join(s.layout.Scratch, binDir) }
func (s *session) temporary(name string) string { return filepath.Join(s.layout.Scratch, name) }

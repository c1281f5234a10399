package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// example is the project that dev builds where there is no repository.
//
//go:embed all:example
var example embed.FS

// makeExample writes the example project into dir as a git repository with one
// commit, unless it is there already.
func makeExample(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, ".git", "HEAD")); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("example project: %w", err)
	}
	err := fs.WalkDir(example, "example", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, strings.TrimPrefix(path, "example"))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := example.ReadFile(path)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(string(content), "#!") { // embedding drops the mode
			mode = 0o755
		}
		return os.WriteFile(target, content, mode)
	})
	if err != nil {
		return fmt.Errorf("example project: %w", err)
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "-A"},
		{"-c", "user.name=Rondo", "-c", "user.email=rondo@localhost", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "The example project"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("example project: git %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

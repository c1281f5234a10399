package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Read reads files, and of folders the *.conf in them in the order of their
// names, as Telegraf does. That there is none at all is an error.
func Read(paths ...string) ([]File, error) {
	var all []File
	for _, path := range paths {
		names := []string{path}
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if info.IsDir() {
			if names, err = configurations(path); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			all = append(all, File{Name: name, Text: string(text)})
		}
	}
	switch {
	case len(paths) == 0:
		return nil, errors.New("no file or folder is named")
	case len(all) == 0:
		return nil, fmt.Errorf("no file *.conf in %s", strings.Join(paths, ", "))
	}
	return all, nil
}

// configurations returns the *.conf of a folder by name.
func configurations(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".conf" {
			names = append(names, filepath.Join(folder, e.Name()))
		}
	}
	return names, err
}

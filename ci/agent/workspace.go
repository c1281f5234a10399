package agent

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// persist adds a layer to the workspace.
func (s *session) persist(ctx context.Context, st *step, spec ci.StepSpec) result {
	root := s.absolute(spec.Path, s.dir)
	var sources []archive.Source
	if err := s.within(func() (err error) {
		sources, err = s.layerSources(st, root, spec.Paths)
		return err
	}); err != nil {
		return failed("%v", err)
	}
	tmp, stats, err := s.pack(ctx, st, sources)
	if err != nil {
		return failed("%v", err)
	}
	defer tmp.Close()
	layer := ci.File{Kind: ci.FileWorkspace, Name: strconv.Itoa(s.layers)}
	kept, _, err := s.put(ctx, layer, again(tmp))
	if err != nil {
		return result{status: ci.InfraFailed, code: 1, reason: "failed: " + err.Error()}
	}
	s.layers++
	fmt.Fprintf(st.out, "Workspace layer stored: %d files and directories, %s (%s compressed)\n",
		stats.Entries, size(stats.Bytes), size(kept.Size))
	return result{status: ci.Success}
}

// layerSources returns the files below root that the patterns name.
func (s *session) layerSources(st *step, root string, patterns []string) ([]archive.Source, error) {
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("the root %s is no directory", s.show(root))
	}
	real := root
	if r, err := filepath.EvalSymlinks(root); err == nil {
		real = r
	}
	var sources []archive.Source
	for _, pattern := range patterns {
		names, err := globBelow(real, pattern)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			fmt.Fprintf(st.out, "Warning: nothing matches %s in %s\n", pattern, s.show(root))
		}
		for _, n := range names {
			fmt.Fprintf(st.out, "  * %s\n", n)
			sources = append(sources, archive.Source{Path: filepath.Join(real, filepath.FromSlash(n)), Name: n})
		}
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("the specified paths did not match any files in %s", s.show(root))
	}
	return sources, nil
}

// globBelow returns the names below root that match a pattern, relative to it.
func globBelow(root, pattern string) ([]string, error) {
	p := path.Clean(filepath.ToSlash(pattern))
	if rel, err := filepath.Rel(root, p); path.IsAbs(p) && err == nil {
		p = filepath.ToSlash(rel)
	}
	if path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") {
		return nil, fmt.Errorf("path %q leads out of the workspace's root", pattern)
	}
	dir := os.DirFS(root)
	if _, err := fs.Lstat(dir, p); err == nil {
		return []string{p}, nil // a name, whatever characters it has
	}
	names, err := fs.Glob(dir, p)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", pattern, err)
	}
	return names, nil
}

// A layer is one layer of the workspace, fetched.
type layer struct {
	up   ci.Upstream
	file ci.File
	tmp  *os.File
}

// attach unpacks the layers of all upstream jobs.
func (s *session) attach(ctx context.Context, st *step, spec ci.StepSpec) result {
	at := s.absolute(spec.Path, s.dir)
	if err := s.within(func() error { return os.MkdirAll(at, 0o755) }); err != nil {
		return failed("%v", err)
	}
	layers, err := s.fetchLayers(ctx)
	defer func() {
		for _, l := range layers {
			_ = l.tmp.Close()
		}
	}()
	if err != nil {
		return result{status: ci.InfraFailed, code: 1, reason: "failed: " + err.Error()}
	}
	if len(layers) == 0 {
		fmt.Fprintln(st.out, "The workspace is empty: no upstream job has persisted anything.")
		return result{status: ci.Success}
	}
	clashes, err := conflicts(layers)
	if err != nil {
		return failed("%v", err)
	}
	if len(clashes) > 0 {
		return failed("Concurrent upstream jobs persisted the same file(s):\n%s", strings.Join(clashes, "\n"))
	}
	if err := s.within(func() error { return s.unpackLayers(ctx, st, layers, at) }); err != nil {
		return failed("%v", err)
	}
	return result{status: ci.Success}
}

// unpackLayers unpacks the layers into a directory of the steps.
func (s *session) unpackLayers(ctx context.Context, st *step, layers []layer, at string) error {
	root, err := os.OpenRoot(at)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, l := range layers {
		stats, err := archive.Unpack(ctx, l.tmp, map[string]*os.Root{"": root}, archive.Limits{})
		if err != nil {
			return fmt.Errorf("layer of job %q: %w", l.up.Job, err)
		}
		fmt.Fprintf(st.out, "Applied a layer of job %q: %d files and directories, %s\n", l.up.Job, stats.Entries, size(stats.Bytes))
	}
	return nil
}

// fetchLayers fetches the layers of the upstream jobs in order.
func (s *session) fetchLayers(ctx context.Context) ([]layer, error) {
	var layers []layer
	for _, up := range s.work.Upstream {
		found, err := s.findFiles(ctx, ci.File{Kind: ci.FileWorkspace, Task: up.Task, Epoch: up.Epoch})
		if err != nil {
			return layers, err
		}
		slices.SortStableFunc(found, func(a, b ci.File) int { return cmp.Compare(number(a.Name), number(b.Name)) })
		for _, f := range found {
			tmp, err := s.fetch(ctx, f)
			if err != nil {
				return layers, fmt.Errorf("workspace layer of job %q: %w", up.Job, err)
			}
			layers = append(layers, layer{up, f, tmp})
		}
	}
	return layers, nil
}

func number(name string) int {
	n, _ := strconv.Atoi(name)
	return n
}

// maxClashes is how many conflicting files are named.
const maxClashes = 20

// conflicts names the files that jobs which do not stand behind each other
// have persisted, also where one has a file and the other a directory.
// Afterwards the layers are at their beginning again.
func conflicts(layers []layer) ([]string, error) {
	files, dirs := map[string][]int{}, map[string][]int{} // the layers that have them
	var clashes []string
	for i, l := range layers {
		clash := func(name string, owners []int) bool {
			for _, o := range owners {
				if concurrent(layers[o].up, l.up) {
					if len(clashes) <= maxClashes {
						clashes = append(clashes, fmt.Sprintf("%s (jobs %q and %q)", name, layers[o].up.Job, l.up.Job))
					}
					return true
				}
			}
			return false
		}
		seen := map[string]bool{}
		_, err := archive.List(l.tmp, archive.Limits{}, func(e archive.Entry) error {
			name := e.Name
			if !e.Dir && !seen[name] {
				seen[name] = true
				_ = clash(name, files[name]) || clash(name, dirs[name])
				files[name] = append(files[name], i)
				name = path.Dir(name)
			}
			for ; name != "." && !seen[name]; name = path.Dir(name) {
				seen[name] = true
				clash(name, files[name])
				dirs[name] = append(dirs[name], i)
			}
			return nil
		})
		if err == nil {
			_, err = l.tmp.Seek(0, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("layer of job %q: %w", l.up.Job, err)
		}
	}
	if len(clashes) > maxClashes {
		clashes[maxClashes] = "..."
	}
	return clashes, nil
}

// concurrent reports whether neither task had to wait for the other.
func concurrent(a, b ci.Upstream) bool {
	switch {
	case a.Task == b.Task:
		return false
	case a.Job == b.Job: // nodes of one job
		return true
	}
	return !slices.Contains(a.After, b.Job) && !slices.Contains(b.After, a.Job)
}

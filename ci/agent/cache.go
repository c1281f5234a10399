package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/archive"
	"github.com/rondo-ci/rondo/ci/agent/cachekey"
)

// Caches are unpacked where they were packed, and the home directory is
// another one each time, so an archive has two roots.
const (
	homeRoot = "home" // below the home directory
	diskRoot = "root" // below /
)

// cacheKey evaluates the template of a key. A secret in a key would be shown
// to whoever lists the caches, so a digest takes its place.
func (s *session) cacheKey(template string) (string, error) {
	t := s.work.Pipeline.Trigger
	data := cachekey.Data{
		Branch: t.Branch, Revision: t.Revision, BuildNum: s.work.Task.Number, Environment: s.env,
	}
	if keys := s.work.SSHKeys; len(keys) > 0 {
		data.CheckoutKey = keys[0].Fingerprint
	}
	key := ""
	if err := s.within(func() (err error) {
		key, err = cachekey.Render(template, data, s.find)
		return err
	}); err != nil {
		return "", err
	}
	return s.secrets.Replace(key, func(secret string) string {
		sum := sha256.Sum256([]byte(string(s.work.Project.ID) + "\x00" + secret))
		return "secret-" + hex.EncodeToString(sum[:8])
	}), nil
}

// saveCache packs the paths and stores them under the key, unless there is
// such a cache.
func (s *session) saveCache(ctx context.Context, st *step, spec ci.StepSpec) result {
	if len(spec.Keys) == 0 {
		return failed("the step has no key")
	}
	key, err := s.cacheKey(spec.Keys[0])
	if err != nil {
		return failed("%v", err)
	}
	found, err := s.findFiles(ctx, ci.File{Kind: ci.FileCache, Name: key})
	if err != nil {
		return s.cacheTrouble(ctx, st, err)
	}
	for _, f := range found {
		if f.Name == key {
			return s.skipCache(st, f)
		}
	}
	var sources []archive.Source
	err = s.within(func() error {
		sources = s.cacheSources(st, spec.Paths)
		return nil
	})
	if err != nil {
		return failed("%v", err)
	}
	if len(sources) == 0 {
		fmt.Fprintf(st.out, "Nothing to store: none of the paths exists. No cache is made for key: %s\n", key)
		return result{status: ci.Success}
	}
	fmt.Fprintf(st.out, "Creating cache archive...\n")
	tmp, stats, err := s.pack(ctx, st, sources)
	if err != nil {
		return failed("%v", err)
	}
	defer tmp.Close()
	kept, exists, err := s.put(ctx, ci.File{Kind: ci.FileCache, Name: key}, again(tmp))
	switch {
	case err != nil:
		return s.cacheTrouble(ctx, st, err)
	case exists:
		return s.skipCache(st, kept)
	}
	fmt.Fprintf(st.out, "Stored cache to key: %s\n%d files and directories, %s (%s compressed)\n",
		key, stats.Entries, size(stats.Bytes), size(kept.Size))
	return result{status: ci.Success}
}

func (s *session) skipCache(st *step, f ci.File) result {
	when := ""
	if !f.Stored.IsZero() {
		when = " stored " + f.Stored.UTC().Format("2006-01-02 15:04:05 MST")
	}
	fmt.Fprintf(st.out, "Found a cache%s at %s\nSkipping cache generation: a cache never changes.\n", when, f.Name)
	return result{status: ci.Success}
}

// cacheTrouble is a cache that cannot be used for a fault of the machinery: a
// job can do without, but not in silence.
func (s *session) cacheTrouble(ctx context.Context, st *step, err error) result {
	if ctx.Err() != nil {
		return ended(context.Cause(ctx), s.agent.cfg.MaxTime)
	}
	fmt.Fprintf(st.out, "Warning: %v\nThe job goes on without the cache.\n", err)
	return result{status: ci.Success}
}

// cacheSources returns what is there of the paths.
func (s *session) cacheSources(st *step, paths []string) []archive.Source {
	var sources []archive.Source
	for _, p := range paths {
		file := s.absolute(p, s.dir)
		onDisk := file
		if _, err := os.Lstat(onDisk); err != nil {
			fmt.Fprintf(st.out, "Warning: skipping this path: %s: no such file or directory\n", p)
			continue
		}
		// A path that is itself a link to a directory means the directory.
		if info, err := os.Stat(onDisk); err == nil && info.IsDir() {
			if real, err := filepath.EvalSymlinks(onDisk); err == nil {
				onDisk = real
			}
		}
		fmt.Fprintf(st.out, "  * %s\n", s.show(file))
		sources = append(sources, archive.Source{Path: onDisk, Name: s.cacheName(file)})
	}
	return sources
}

// cacheName returns the name of a file in the archive of a cache.
func (s *session) cacheName(file string) string {
	if rel, err := filepath.Rel(s.layout.Home, file); err == nil && filepath.IsLocal(rel) {
		return path.Join(homeRoot, filepath.ToSlash(rel))
	}
	return path.Join(diskRoot, filepath.ToSlash(file))
}

// restoreCache unpacks the newest cache of the first key that has one. A cache
// that proves to be damaged counts as none.
func (s *session) restoreCache(ctx context.Context, st *step, spec ci.StepSpec) result {
	if len(spec.Keys) == 0 {
		return failed("the step has no key")
	}
	for _, template := range spec.Keys {
		key, err := s.cacheKey(template)
		if err != nil {
			return failed("%v", err)
		}
		found, err := s.findFiles(ctx, ci.File{Kind: ci.FileCache, Name: key})
		if err != nil {
			return s.cacheTrouble(ctx, st, err)
		}
		if len(found) == 0 {
			fmt.Fprintf(st.out, "No cache is found for key: %s\n", key)
			continue
		}
		f := found[0]
		fmt.Fprintf(st.out, "Found a cache at %s (%s)\n", f.Name, matched(key, f.Name))
		fmt.Fprintf(st.out, "Size: %s, stored %s\nDownloading cache archive...\n",
			size(f.Size), f.Stored.UTC().Format("2006-01-02 15:04:05 MST"))
		stats, err := s.unpackCache(ctx, f)
		switch {
		case err == nil:
			fmt.Fprintf(st.out, "Restored %d files and directories, %s\n", stats.Entries, size(stats.Bytes))
			return result{status: ci.Success}
		case ctx.Err() != nil:
			return ended(context.Cause(ctx), s.agent.cfg.MaxTime)
		case errors.Is(err, archive.ErrBad), errors.Is(err, errDamaged), errors.Is(err, ci.ErrNotFound):
			fmt.Fprintf(st.out, "Warning: %v\nThe cache is ignored.\n", err)
		default:
			return failed("%v", err)
		}
	}
	return result{status: ci.Success}
}

// matched explains why a cache was taken.
func matched(key, name string) string {
	if key == name {
		return "exact match"
	}
	return "newest with the prefix " + key
}

// unpackCache fetches a cache, looks it over, and unpacks it.
func (s *session) unpackCache(ctx context.Context, f ci.File) (archive.Stats, error) {
	tmp, err := s.fetch(ctx, f)
	if err != nil {
		return archive.Stats{}, err
	}
	defer tmp.Close()
	// Nothing of a bad archive is unpacked, not even what comes before the
	// bad part.
	disk := false
	_, err = archive.List(tmp, archive.Limits{}, func(e archive.Entry) error {
		first, _, _ := strings.Cut(e.Name, "/")
		if first != homeRoot && first != diskRoot {
			return fmt.Errorf("%w: name %q belongs nowhere", archive.ErrBad, e.Name)
		}
		disk = disk || first == diskRoot
		return ctx.Err()
	})
	if err == nil {
		_, err = tmp.Seek(0, 0)
	}
	if err != nil {
		return archive.Stats{}, err
	}
	var stats archive.Stats
	err = s.within(func() (err error) {
		stats, err = s.unpackRoots(ctx, tmp, disk)
		return err
	})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("the cache holds files that cannot be written here: %w", err)
	}
	return stats, err
}

// unpackRoots unpacks a cache to where it was packed.
func (s *session) unpackRoots(ctx context.Context, from io.Reader, disk bool) (archive.Stats, error) {
	roots := map[string]*os.Root{}
	defer func() {
		for _, r := range roots {
			_ = r.Close()
		}
	}()
	for name, dir := range map[string]string{homeRoot: s.layout.Home, diskRoot: "/"} {
		if name == diskRoot && !disk {
			continue
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return archive.Stats{}, err
		}
		roots[name] = root
	}
	return archive.Unpack(ctx, from, roots, archive.Limits{})
}

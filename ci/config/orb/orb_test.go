package orb_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

// A Dir is what the compiler asks for.
var _ config.Orbs = (*orb.Dir)(nil)

func files() fstest.MapFS {
	fs := make(fstest.MapFS)
	for _, name := range []string{
		"a__b@1.2.3.yml", "a__b@1.2.10.yml", "a__b@1.10.0.yml", "a__b@2.0.0.yml", "a/b@0.1.0.yaml", "a/b@dev_try.yml", "a__b@dev:x.y.yml",
		"a__b@head-0a2e611.yml", "README.md", "a__c.yml", "a__d@.yml", "A__b@1.0.0.yml", "a/.hidden@1.0.0.yml", "x/y/z@1.0.0.yml", "only__dev@dev_a.yml", "index.csv",
	} {
		fs[name] = &fstest.MapFile{Data: []byte("file: " + name)}
	}
	return fs
}

func TestResolution(t *testing.T) {
	d := orb.FS(files())
	for ref, want := range map[string]string{
		"a/b@1.2.3": "a/b@1.2.3", "a/b@1.2": "a/b@1.2.10", "a/b@1": "a/b@1.10.0", "a/b@volatile": "a/b@2.0.0", "a/b@2": "a/b@2.0.0",
		"a/b@0": "a/b@0.1.0", "a/b@dev:try": "a/b@dev:try", "a/b@dev:x.y": "a/b@dev:x.y", "a/b@dev:head-0a2e611": "a/b@dev:head-0a2e611",
		"a/b@1.3": "", "a/b@3": "", "a/b@1.2.4": "", "a/b@dev:none": "", "a/none@1": "", "only/dev@volatile": "", "only/dev@1": "", "a/c@1": "", "a/d@1": "",
	} {
		got, source, err := d.Orb(t.Context(), ref)
		if want == "" {
			require.ErrorIs(t, err, ci.ErrNotFound, ref)
			continue
		}
		require.NoError(t, err, ref)
		require.Equal(t, want, got)
		require.Contains(t, string(source), "file: a")
	}
	refs, err := d.Refs()
	require.NoError(t, err)
	require.Equal(t, []string{
		"a/b@dev:head-0a2e611", "a/b@dev:try", "a/b@dev:x.y", "a/b@0.1.0", "a/b@1.2.3", "a/b@1.2.10", "a/b@1.10.0", "a/b@2.0.0", "only/dev@dev:a",
	}, refs)
}

func TestParse(t *testing.T) {
	for _, ref := range []string{
		"", "a/b", "a/b@", "@1", "a@1", "a/b/c@1", "A/b@1", "a/b@1.2.3.4", "a/b@01.2.3", "a/b@1.x", "a/b@latest", "a/b@dev:", "a/b@dev:../x",
		"a/b@dev:a//b", "a/b@dev:a/../b", "../b@1", "a/..@1", "a/b@1\n", "a/b@1?x=", "a/b@-1", "a\x00/b@1",
	} {
		_, err := orb.Parse(ref)
		require.ErrorIs(t, err, ci.ErrInvalid, "%q", ref)
		_, _, err = orb.FS(files()).Orb(t.Context(), ref)
		require.ErrorIs(t, err, ci.ErrInvalid, "%q", ref)
	}
	r, err := orb.Parse("ns/name@1.2")
	require.NoError(t, err)
	require.Equal(t, "ns/name@1.2", r.String())
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a__b@1.0.0.yml"), []byte("commands: {hi: {steps: [run: hi]}}"), 0o600))
	resolved, source, err := orb.Folder(dir).Orb(t.Context(), "a/b@volatile")
	require.NoError(t, err)
	require.Equal(t, "a/b@1.0.0", resolved)
	require.NotEmpty(t, source)

	_, _, err = orb.Folder(filepath.Join(dir, "none")).Orb(t.Context(), "a/b@1")
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, _, err = new(orb.Dir).Orb(t.Context(), "a/b@1")
	require.ErrorIs(t, err, ci.ErrNotFound)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = orb.Folder(dir).Orb(ctx, "a/b@1")
	require.ErrorIs(t, err, context.Canceled)

	plan, err := config.Compile(t.Context(), []byte("{version: 2.1, orbs: {o: a/b@1}, jobs: {build: {docker: [{image: a}], steps: [o/hi]}}}"), config.Options{Orbs: orb.Folder(dir)})
	require.NoError(t, err)
	require.Equal(t, "hi", plan.Workflows[0].Jobs[0].Steps[0].Command)
	require.Contains(t, plan.Expanded, "# Orb 'a/b@1' resolved to 'a/b@1.0.0'\n")
}

// TestChooseNewest: the rules choose a release that exists and fits, and no
// other fitting one is newer.
func TestChooseNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions := rapid.SliceOf(rapid.StringMatching(`[0-3]\.[0-3]\.(0|1[0-9]|[1-9])|dev:[a-c]`)).Draw(t, "versions")
		rule := rapid.SampledFrom([]string{"volatile", "0", "1", "2.1", "1.2", "3.0.1", "dev:a"}).Draw(t, "rule")
		r := orb.Ref{Name: "a/b", Version: rule}
		got, ok := r.Choose(versions)
		if !ok {
			for _, v := range versions {
				exact, found := orb.Ref{Name: "a/b", Version: rule}.Choose([]string{v})
				if found {
					t.Fatalf("%s fits %s and was not chosen", exact, rule)
				}
			}
			return
		}
		if again, ok := r.Choose([]string{got}); !ok || again != got {
			t.Fatalf("%s does not fit %s", got, rule)
		}
		for _, v := range versions {
			if both, _ := r.Choose([]string{v, got}); both != got {
				t.Fatalf("%s is newer than %s", v, got)
			}
		}
	})
}

func ExampleFolder() {
	plan, err := config.Compile(context.Background(), []byte("version: 2.1\njobs: {build: {docker: [{image: a}], steps: [checkout]}}\n"),
		config.Options{Orbs: orb.Folder("orbs")})
	_, _ = plan, err
}

package config_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
)

// refused are the real files that do not compile for another reason than an
// orb that is not in the folder, with the codes and why that is right.
var refused = map[string]string{
	"CircleCI-Public__artifactory-orb@0a90c55.yml":   "CFG011: unless where a condition belongs",
	"CircleCI-Public__circleci-cli__build.yml":       "CFG005: executors and orbs in version 2",
	"CircleCI-Public__circleci-orbs@b2216cc.yml":     "CFG025 CFG031: written for an older slack orb than the folder has",
	"CircleCI-Public__slack-orb@96542d3.yml":         "CFG023 CFG025: an orb that is not imported",
	"codecov__codecov-circleci-orb__orb.yml":         "CFG053: an orb, not a configuration",
	"cypress-io__circleci-orb__test-deploy.yml":      "CFG023 CFG025: an orb that a setup pipeline adds",
	"drone__go-convert__bash-example1.yml":           "CFG005: no version",
	"drone__go-convert__bash-example2.yml":           "CFG005: no version",
	"drone__go-convert__bash-example3.yml":           "CFG005: no version",
	"drone__go-convert__executor-docker.yml":         "CFG005: no version",
	"drone__go-convert__executor-linux-cloud.yml":    "CFG005: no version",
	"drone__go-convert__executor-linux-server-2.yml": "CFG005: no version",
	"drone__go-convert__executor-macos.yml":          "CFG005: no version",
	"drone__go-convert__matrix-example2.yml":         "CFG005: no version",
	"drone__go-convert__orbs-datadog.yml":            "CFG005: no version",
	"drone__go-convert__orbs-browsers.yml":           "CFG024 CFG058: x.y is no version",
	"drone__go-convert__orbs-chrome.yml":             "CFG024 CFG058: x.y is no version",
	"drone__go-convert__orbs-example1.yml":           "CFG024: x.y is no version",
	"drone__go-convert__orbs-example2.yml":           "CFG024: x.y is no version",
	"drone__go-convert__orbs-go-example1.yml":        "CFG024: x.y is no version",
	"drone__go-convert__orbs-ruby-example1.yml":      "CFG024: x.y is no version",
}

// TestCorpus compiles real configurations. With -v it prints a table of the
// features they use and how many compile.
func TestCorpus(t *testing.T) {
	dir := shared(t, "data", "configs")
	folder := orb.Folder(filepath.Join(dir, "orbs"))
	files, err := filepath.Glob(filepath.Join(dir, "corpus", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	verdicts := make(map[string]string)
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		name := filepath.Base(f)
		plan, err := config.Compile(t.Context(), source, config.Options{Orbs: folder})
		var codes []string
		for _, e := range config.Errors(err) {
			if !slices.Contains(codes, e.Code) {
				codes = append(codes, e.Code)
			}
		}
		slices.Sort(codes)
		switch got := strings.Join(codes, " "); {
		case err == nil:
			verdicts[name] = "compiles"
			require.Empty(t, refused[name], name)
			require.NotEmpty(t, plan.Expanded, name)
		case got == "CFG025":
			verdicts[name] = "orb missing"
		default:
			verdicts[name] = "refused"
			want, _, _ := strings.Cut(refused[name], ":")
			require.Equal(t, want, got, "%s\n%s", name, config.Render(err))
		}
	}
	if testing.Verbose() {
		t.Log("\n" + featureTable(t, filepath.Join(dir, "corpus", "index.csv"), verdicts))
	}
}

// featureTable counts the verdicts for each feature of the index.
func featureTable(t *testing.T, index string, verdicts map[string]string) string {
	f, err := os.Open(index)
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	at := slices.Index(rows[0], "features")
	counts := make(map[string]map[string]int)
	for _, row := range rows[1:] {
		for _, feature := range append(strings.Fields(row[at]), "(all files)") {
			if counts[feature] == nil {
				counts[feature] = make(map[string]int)
			}
			counts[feature][verdicts[row[0]]]++
		}
	}
	var features []string
	for feature := range counts {
		features = append(features, feature)
	}
	slices.Sort(features)
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %9s %12s %8s\n", "feature", "compiles", "orb missing", "refused")
	for _, feature := range features {
		c := counts[feature]
		fmt.Fprintf(&b, "%-28s %9d %12d %8d\n", feature, c["compiles"], c["orb missing"], c["refused"])
	}
	return b.String()
}

// TestFirst compiles the configurations that have to compile whatever else
// does.
func TestFirst(t *testing.T) {
	dir := shared(t, "data", "configs")
	folder := orb.Folder(filepath.Join(dir, "orbs"))
	files, err := filepath.Glob(filepath.Join(dir, "first", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		_, err = config.Compile(t.Context(), source, config.Options{Orbs: folder})
		require.NoError(t, err, "%s\n%s", filepath.Base(f), config.Render(err))
	}
}

// TestOrbs expands the jobs of all orbs of the folder that can be called
// without arguments, and all commands likewise.
func TestOrbs(t *testing.T) {
	folder := orb.Folder(shared(t, "data", "configs", "orbs"))
	refs, err := folder.Refs()
	require.NoError(t, err)
	require.NotEmpty(t, refs)
	jobs, commands := 0, 0
	for _, ref := range refs {
		_, source, err := folder.Orb(t.Context(), ref)
		require.NoError(t, err)
		for _, group := range []string{"jobs", "commands"} {
			for _, name := range memberNames(t, source, group) {
				text := "version: 2.1\norbs: {o: " + ref + "}\nworkflows: {w: {jobs: [o/" + name + "]}}\n"
				if group == "commands" {
					text = "version: 2.1\norbs: {o: " + ref + "}\njobs: {build: {docker: [{image: a}], steps: [o/" + name + "]}}\n"
				}
				_, err := config.Compile(t.Context(), []byte(text), config.Options{Orbs: folder})
				for _, e := range config.Errors(err) {
					// Required arguments and imports that are not in the folder.
					require.Contains(t, []string{"CFG030", "CFG025"}, e.Code, "%s %s %s\n%s", ref, group, name, config.Render(err))
				}
				if err == nil && group == "jobs" {
					jobs++
				} else if err == nil {
					commands++
				}
			}
		}
	}
	t.Logf("%d orbs: %d jobs and %d commands expand without arguments", len(refs), jobs, commands)
	require.Greater(t, jobs, 30)
	require.Greater(t, commands, 100)
}

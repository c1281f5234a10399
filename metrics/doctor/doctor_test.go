package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rondo-ci/rondo/metrics/doctor"
	"github.com/stretchr/testify/require"
)

// The guide's own example, and those of its later editions.
func TestMET11_OldSpellings(t *testing.T) {
	const old = `# ours
[[output.influxdb]]
  url = "http://52.67.66.155:8086" # the server
  database = "testdb"
  precision = "s"
[[inputs.statsd]]
  service_address = ":8125"
  parse_data_dog_tags = true
  metric_separator = "."
  namepass = []
[tags]
  Env = "staging"
[[outputs.file]]
  fieldpass = ["mean"]
  data = """
[[output.not]] = "in a text"
"""
`
	files, found := doctor.Examine(doctor.File{Name: "influxdb.conf", Text: old})
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	require.Equal(t, []string{
		`influxdb.conf:2: "output" is read as the name of an input: the table is called outputs: write [[outputs.influxdb]]`,
		`influxdb.conf:3: url is not read: there may be several: write urls = ["http://52.67.66.155:8086"] # the server`,
		`influxdb.conf:5: precision is not read any more: write #   precision = "s"`,
		`influxdb.conf:8: parse_data_dog_tags is called datadog_extensions: write datadog_extensions = true`,
		`influxdb.conf:11: [tags] is called [global_tags]: write [global_tags]`,
		`influxdb.conf:14: fieldpass is called fieldinclude: write fieldinclude = ["mean"]`,
	}, lines)
	again, found := doctor.Examine(files...)
	require.Empty(t, found, "mended is mended")
	require.Equal(t, files, again)
	require.Contains(t, files[0].Text, "# ours\n")
	require.Contains(t, files[0].Text, `[[output.not]] = "in a text"`)
}

func TestMET11_PeopleMustAct(t *testing.T) {
	_, found := doctor.Examine(
		doctor.File{Name: "a.conf", Text: "[[inputs.statsd]]\nservice_address = \":8125\"\n"},
		doctor.File{Name: "b.conf", Text: "[[inputs.statsd]]\n  service_address = \":8125\"\n[[outputs.influxdbv2]]\n"},
	)
	require.Len(t, found, 2)
	require.Equal(t, "b.conf:2: two inputs listen on :8125: the other one is at a.conf:2; keep one of them", found[0].String())
	require.Equal(t, `b.conf:3: there is no output "influxdbv2" here; the nearest is "influxdb_v2"`, found[1].String())
}

func FuzzExamine(f *testing.F) {
	f.Add("[[output.influxdb]]\nurl=\"x\" # c\n[tags]\na='''\n'''\n")
	f.Fuzz(func(t *testing.T, text string) {
		files, _ := doctor.Examine(doctor.File{Name: "x", Text: text})
		require.Equal(t, strings.Count(text, "\n"), strings.Count(files[0].Text, "\n"))
		again, _ := doctor.Examine(files...)
		require.Equal(t, files, again)
	})
}

func ExampleExamine() {
	files, found := doctor.Examine(doctor.File{Name: "influxdb.conf", Text: "[[output.influxdb]]\nurl = \"http://db:8086\"\n"})
	for _, f := range found {
		fmt.Println(f)
	}
	fmt.Print(files[0].Text)
	// Output:
	// influxdb.conf:1: "output" is read as the name of an input: the table is called outputs: write [[outputs.influxdb]]
	// influxdb.conf:2: url is not read: there may be several: write urls = ["http://db:8086"]
	// [[outputs.influxdb]]
	// urls = ["http://db:8086"]
}

// Folders are read whatever their name is, in the order of names.
func TestMET11_Read(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a-b]*")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "folder"), 0o755))
	for _, name := range []string{"b.conf", "a.conf", "notes.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	files, err := doctor.Read(dir, filepath.Join(dir, "notes.txt"))
	require.NoError(t, err)
	require.Equal(t, []doctor.File{
		{Name: dir + "/a.conf", Text: "a.conf"}, {Name: dir + "/b.conf", Text: "b.conf"}, {Name: dir + "/notes.txt", Text: "notes.txt"},
	}, files)
	for _, c := range []struct {
		paths []string
		says  string
	}{{nil, "no file or folder"}, {[]string{filepath.Join(dir, "folder")}, "no file *.conf in"}, {[]string{"/no/such"}, "/no/such"}} {
		_, err := doctor.Read(c.paths...)
		require.ErrorContains(t, err, c.says)
	}
}

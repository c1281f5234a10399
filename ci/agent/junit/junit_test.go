package junit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/junit"
)

func ExampleParse() {
	tests, err := junit.Parse(strings.NewReader(`
		<testsuite name="shop">
			<testcase name="buys" classname="Cart" time="0.25"/>
			<testcase name="pays" classname="Cart"><failure message="no money"/></testcase>
		</testsuite>`), "unit")
	for _, t := range tests {
		fmt.Printf("%s %s: %s (%s)\n", t.Classname, t.Name, t.Result, t.Message)
	}
	fmt.Println(err)
	// Output:
	// Cart buys: success ()
	// Cart pays: failure (no money)
	// <nil>
}

func TestParse(t *testing.T) {
	got, err := junit.Parse(strings.NewReader(`<?xml version="1.0" encoding="ISO-8859-1"?>
<testsuites><testsuite name="outer" file="suite.rb"><testsuite name="inner">
<testcase name="a`+"\xe9"+`" time="1,234.5"/>
<testcase name="b" classname="C" file="own.rb" time="NaN"><skipped/></testcase>
<testcase name="c" time="-1"><failure message="short">long
text</failure></testcase>
<testcase name="d" time="1e999"><failure>only text</failure><error message="worse"/></testcase>
<testcase name="e"><failure message="m">m and more</failure><system-out><![CDATA[<script>]]></system-out></testcase>
</testsuite></testsuite><testsuite><testcase name="f"/><properties><failure/></properties></testsuite></testsuites>`), "src")
	require.NoError(t, err)
	want := []ci.Test{
		{Name: "aé", Classname: "inner", File: "suite.rb", Result: "success", Seconds: 1234.5},
		{Name: "b", Classname: "C", File: "own.rb", Result: "skipped"},
		{Name: "c", Classname: "inner", File: "suite.rb", Result: "failure", Message: "short\nlong\ntext"},
		{Name: "d", Classname: "inner", File: "suite.rb", Result: "error", Message: "only text"},
		{Name: "e", Classname: "inner", File: "suite.rb", Result: "failure", Message: "m and more"},
		{Name: "f", Result: "success"},
	}
	for i := range want {
		want[i].Source = "src"
	}
	require.Empty(t, cmp.Diff(want, got))
}

// TestSEC_HostileXML are the attacks A072 and A090.
func TestSEC_HostileXML(t *testing.T) {
	for name, text := range map[string]string{
		"doctype":    `<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&x;"/></testsuite>`,
		"entity":     `<testsuite><testcase name="&x;"/></testsuite>`,
		"deep":       strings.Repeat("<testsuite>", 100000),
		"encoding":   `<?xml version="1.0" encoding="x-unknown"?><testsuite/>`,
		"utf-16":     "\xff\xfe<\x00t\x00",
		"not xml":    "{}",
		"html":       "<html></html>",
		"empty":      "",
		"unfinished": "<testsuite><testcase",
	} {
		_, err := junit.Parse(strings.NewReader(text), "")
		require.Error(t, err, name)
	}
	long := strings.Repeat("é", 1<<20)
	got, err := junit.Parse(strings.NewReader(`<testsuite><testcase name="`+long+`"><failure>`+long+`</failure></testcase></testsuite>`), "")
	require.NoError(t, err)
	require.Less(t, len(got[0].Name), 5000)
	require.Less(t, len(got[0].Message), 17000)
	require.True(t, strings.HasSuffix(got[0].Message, " [cut]"))
}

func TestWalk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "rspec", "deep"), 0o755))
	suite := func(name string) []byte { return []byte(`<testsuite><testcase name="` + name + `"/></testsuite>`) }
	for file, content := range map[string][]byte{
		"a.xml": suite("a"), "rspec/b.XML": suite("b"), "rspec/deep/c.xml": suite("c"), "bad.xml": []byte("<"), "x.json": []byte("{}"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), content, 0o644))
	}
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link.xml")))
	var skipped []string
	tests, err := junit.Walk(dir, func(file string, _ error) { skipped = append(skipped, filepath.Base(file)) })
	require.NoError(t, err)
	var got []string
	for _, x := range tests {
		got = append(got, x.Source+"/"+x.Name)
	}
	require.Equal(t, []string{"results/a", "rspec/b", "rspec/c"}, got)
	require.Equal(t, []string{"bad.xml"}, skipped)
	tests, err = junit.Walk(filepath.Join(dir, "a.xml"), nil)
	require.NoError(t, err)
	require.Len(t, tests, 1)
	_, err = junit.Walk(filepath.Join(dir, "none"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzParse(f *testing.F) {
	f.Add(`<testsuites><testsuite name="x"><testcase name="a" time="1"><failure message="m">t</failure></testcase></testsuite></testsuites>`)
	f.Add(`</testsuite>`)
	f.Fuzz(func(t *testing.T, text string) { _, _ = junit.Parse(strings.NewReader(text), "s") })
}

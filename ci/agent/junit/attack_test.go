package junit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/agent/junit"
)

// TestA090_HostileXML holds documents that read other files, expand without
// end, or lie about what they are. None yields a test, and none is fetched.
func TestA090_HostileXML(t *testing.T) {
	for name, text := range map[string]string{
		"external entity": `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&x;"/></testsuite>`,
		"entity bomb":     `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>`,
		"late doctype":    `<testsuite><!DOCTYPE a><testcase name="x"/></testsuite>`,
		"unknown entity":  `<testsuite><testcase name="&x;"/></testsuite>`,
		"nesting":         strings.Repeat("<testsuite>", 100_000),
		"encoding":        `<?xml version="1.0" encoding="x-unknown"?><testsuite><testcase name="x"/></testsuite>`,
		"UTF-16":          "\xff\xfe<\x00t\x00e\x00s\x00t\x00",
		"bad bytes":       "<testsuite><testcase name=\"\xff\xfe\"/></testsuite>",
		"no end":          `<testsuite><testcase name="` + strings.Repeat("a", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			tests, err := junit.Parse(strings.NewReader(text), "s")
			require.Error(t, err)
			require.Empty(t, tests)
		})
	}
}

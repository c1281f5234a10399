package mask_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci/agent/mask"
)

var invisible = regexp.MustCompile(`\x1b\[[0-9]m|\x{200b}|\x01`)

// TestSEC_NoPatternComesOut writes secrets, their forms, parts of them and
// other text in any order, cut in any way, with silences between: no value and
// no form of one comes out whole, and the cuts do not change the rest.
func TestSEC_NoPatternComesOut(t *testing.T) {
	secret := rapid.OneOf(
		rapid.StringMatching(`[ab]{4,12}`),
		rapid.StringMatching(`[ -)+-~\n]{4,40}`),
		rapid.StringMatching(`(-----BEGIN KEY-----\n)?[A-Za-z0-9+/=]{20,64}(\n[A-Za-z0-9+/=]{20,64}){1,3}\n`),
		rapid.StringMatching(`ghp_[A-Za-z0-9]{4,6}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(secret, 1, 5).Draw(t, "secrets")
		set := mask.New(secrets...)
		patterns := set.Patterns()
		if len(patterns) == 0 {
			return // only words of logic
		}
		piece := rapid.Custom(func(t *rapid.T) string {
			p := rapid.SampledFrom(patterns).Draw(t, "pattern")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				return p
			case 1:
				return p[:rapid.IntRange(0, len(p)).Draw(t, "to")]
			case 2:
				return p[rapid.IntRange(0, len(p)).Draw(t, "from"):]
			}
			if rapid.Bool().Draw(t, "hidden") {
				at := rapid.IntRange(0, len(p)).Draw(t, "at")
				return p[:at] + rapid.SampledFrom([]string{"\x1b[0m", "\u200b", "\x01"}).Draw(t, "invisible") + p[at:]
			}
			return rapid.StringMatching(`([ab \n]|\x1b\[[0-9]m|ü|\xc2|\xe2|\x{200b}|\x01){0,4}`).Draw(t, "other")
		})
		text := strings.Join(rapid.SliceOfN(piece, 1, 12).Draw(t, "pieces"), "")
		quiet := rapid.Bool().Draw(t, "silences")
		var whole, parts bytes.Buffer
		w := set.Writer(&whole)
		_, _ = w.Write([]byte(text))
		require.NoError(t, w.Close())
		p := set.Writer(&parts)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, min(len(rest), 20)).Draw(t, "n")
			_, _ = p.Write([]byte(rest[:n]))
			if rest = rest[n:]; quiet && rapid.Bool().Draw(t, "silence") {
				require.NoError(t, p.Idle())
			}
		}
		require.NoError(t, p.Close())
		for i, out := range []string{whole.String(), parts.String(), set.String(text)} {
			visible := invisible.ReplaceAllString(out, "")
			for _, pattern := range patterns {
				if strings.Contains(out, pattern) {
					t.Fatalf("%q comes out of %q: %q", pattern, text, out)
				}
				if i < 2 && strings.Contains(visible, pattern) {
					t.Fatalf("%q is seen in %q: %q", pattern, text, out)
				}
			}
		}
		if !quiet {
			require.Equal(t, whole.String(), parts.String())
		}
	})
}

// TestSEC_Rule is CircleCI's rule and what we add to it.
func TestSEC_Rule(t *testing.T) {
	const pem = "-----BEGIN KEY-----\nAAAABBBBCCCC\nshort\n  indented line\n-----END KEY-----\n"
	set := mask.New(pem)
	for in, want := range map[string]string{
		"AAAABBBBCCCC":                        "****",
		"short":                               "short", // less than 8
		"indented line":                       "****",
		strings.ReplaceAll(pem, "\n", "\r\n"): "****\r\n",
		strings.ReplaceAll(pem, "\n", `\n`):   "****",
		strings.ReplaceAll(pem, "\n", "\n> "): "****\n> ****\n> short\n> ****\n> ****\n> ",
	} {
		require.Equal(t, want, set.String(in), in)
	}
	for _, s := range []string{"abc", "true", "True", "false", "False", ""} {
		require.Equal(t, "x abc true True false False x", mask.New(s).String("x abc true True false False x"), s)
	}
	require.Equal(t, "**** ****", mask.New("TRUE", "FALSE").String("TRUE FALSE"))
	// Of seven bytes only the value itself.
	require.Equal(t, []string{`a"b'c&d`}, mask.New(`a"b'c&d`).Patterns())
	require.Greater(t, len(mask.New(`a"b'c&de`).Patterns()), 10)
	// And by will of longer ones, too.
	require.Equal(t, []string{"a secret line", "a secret line\nand another", "and another"}, mask.Exact("a secret line\nand another").Patterns())
	require.Equal(t, "**** YSBzZWNyZXQgbGluZQ==", mask.Exact("a secret line").String("a secret line YSBzZWNyZXQgbGluZQ=="))
}

// TestSEC_InvisibleDoesNotHide is attack A058 without escape sequences.
func TestSEC_InvisibleDoesNotHide(t *testing.T) {
	set := mask.New("s3cret-value")
	for _, between := range []string{"\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\x00", "\x01\x02", "\x7f", "\u009b31m", "\x1b[0m\u200b"} {
		for _, size := range []int{1, 2, 1000} {
			var out bytes.Buffer
			w := set.Writer(&out)
			in := "é– <" + strings.Join(strings.Split("s3cret-value", ""), between) + "> …"
			for p := []byte(in); len(p) > 0; p = p[min(size, len(p)):] {
				_, _ = w.Write(p[:min(size, len(p))])
			}
			require.NoError(t, w.Close())
			require.Equal(t, "é– <****"+strings.Repeat(between, 11)+"> …", out.String(), "%q by %d", between, size)
		}
	}
}

// TestMemoryIsBounded has the most that CircleCI lets a job have of the
// largest values.
func TestMemoryIsBounded(t *testing.T) {
	var secrets []string
	for i := range 100 {
		secrets = append(secrets, strings.Repeat(fmt.Sprintf("%d/&%x ", i, i*7919), 32<<10/8))
	}
	set := mask.New(secrets...)
	total := 0
	for _, p := range set.Patterns() {
		total += len(p)
	}
	require.Less(t, total, 24<<20)
	for _, s := range secrets {
		require.Equal(t, "<****>", set.String("<"+strings.TrimSpace(s)+">"))
	}
	var short []string
	for i := range 30_000 {
		short = append(short, fmt.Sprintf("secret-value-%d", i))
	}
	require.Len(t, mask.New(short...).Patterns(), 20_000)
	require.Equal(t, "**** ****", mask.New(short...).String("secret-value-0 secret-value-19999"))
}

package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci/agent/mask"
)

func Example() {
	secrets := mask.New("s3cr3t-token")
	w := secrets.Writer(os.Stdout)
	fmt.Fprint(w, "the token is s3cr")
	fmt.Fprintln(w, "3t-token, in base64 czNjcjN0LXRva2Vu")
	_ = w.Close()
	// Output: the token is ****, in base64 ****
}

func TestString(t *testing.T) {
	cases := []struct {
		name, in, out string
		secrets       []string
	}{
		{"none", "abc", "abc", nil},
		{"plain", "x hunter2 y", "x **** y", []string{"hunter2"}},
		{"three bytes are too few", "abc", "abc", []string{"abc"}},
		{"four are enough", "abcd", "****", []string{"abcd"}},
		{"empty", "abc", "abc", []string{"", "    ", "\n\n\n\n\n"}},
		{"words of logic", "true True false False TRUE", "true True false False ****", []string{"true", "True", "false", "False", "TRUE"}},
		{"longest wins", "abcde abcd", "**** ****", []string{"abcd", "abcde"}},
		{"overlap", "abcdefghij.", "****j.", []string{"abcdef", "defghi"}},
		{"adjacent", "abcdabcd", "********", []string{"abcd"}},
		{"overlap with itself", "aaaaaaaaaa", "****", []string{"aaaa"}},
		{"trailing newline of the value", "abcd\n", "****\n", []string{"abcd\n"}},
		{"whole", "first-line\r\n  second-line", "****", []string{"first-line\n  second-line\n"}},
		{"lines", "first-line\r\n      second-line", "****\r\n    ****", []string{"first-line\n  second-line\n"}},
		{"joined lines", `first\nsecond`, "****", []string{"first\nsecond"}},
		{"blanks around", "x abcd y", "x **** y", []string{"  abcd "}},
		{"bytes", "\xff\xfe\xfd\xfc!", "****!", []string{"\xff\xfe\xfd\xfc"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.out, mask.New(c.secrets...).String(c.in))
		})
	}
}

func TestSEC_EncodedForms(t *testing.T) {
	const secret = `p@ss "w0rd"/<&>+'$x\y` + "\tñ"
	set := mask.New(secret)
	js, _ := json.Marshal(secret)
	forms := map[string]string{
		"base64":     base64.StdEncoding.EncodeToString([]byte(secret)),
		"raw base64": base64.RawStdEncoding.EncodeToString([]byte(secret)),
		"url base64": base64.URLEncoding.EncodeToString([]byte(secret)),
		"query":      url.QueryEscape(secret),
		"path":       url.PathEscape(secret),
		"json":       strings.Trim(string(js), `"`),
		"quoted":     strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"ascii":      strings.Trim(fmt.Sprintf("%+q", secret), `"`),
		"hex":        fmt.Sprintf("%x", secret),
		"HEX":        fmt.Sprintf("%X", secret),
		"shell":      `p@ss "w0rd"/<&>+'\''$x\y` + "\tñ",
	}
	for name, form := range forms {
		require.Equal(t, "<"+mask.Text+">", set.String("<"+form+">"), name)
	}
	for _, user := range []string{"a:", "ab:", "abc:", ""} { // all alignments
		basic := base64.StdEncoding.EncodeToString([]byte(user + secret + ":x"))
		got := set.String(basic)
		require.Less(t, len(strings.ReplaceAll(got, mask.Text, "")), 14, got)
	}
	long := strings.Repeat("0123456789", 12) + "end"
	wrapped := base64.StdEncoding.EncodeToString([]byte(long))
	wrapped = wrapped[:76] + "\n" + wrapped[76:152] + "\n" + wrapped[152:]
	require.Equal(t, "****\n****\n****", mask.New(long).String(wrapped))
}

// TestSEC_SplitAnywhere proves that the way a stream is cut into writes does
// not change what comes out, and that no secret comes out.
func TestSEC_SplitAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(rapid.StringMatching(`[ab]{4,8}`), 1, 4).Draw(t, "secrets")
		text := rapid.StringMatching(`([abc]|\x1b\[[0-9]m|\x1b|\x1b]0;a\x07){0,60}`).Draw(t, "text") + "c"
		set := mask.New(secrets...)
		var whole, parts bytes.Buffer
		w := set.Writer(&whole)
		_, _ = w.Write([]byte(text))
		require.NoError(t, w.Close())
		p := set.Writer(&parts)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			_, _ = p.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		require.NoError(t, p.Close())
		require.Equal(t, whole.String(), parts.String())
		visible := regexp.MustCompile(`\x1b\[[0-9;]*[a-z]|\x1b\][^\x07\x1b]*\x07|\x1b[a-z]`).ReplaceAllString(whole.String(), "")
		for _, s := range secrets {
			require.NotContains(t, visible, s)
			require.NotContains(t, whole.String(), s)
		}
		if !strings.Contains(text, "\x1b") {
			require.Equal(t, set.String(text), whole.String())
		}
	})
}

// TestSEC_IdleNeverTells lets the stream fall silent between writes: at most
// three bytes of a secret may show, and never a whole one.
func TestSEC_IdleNeverTells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-d]{6,10}`).Draw(t, "secret")
		before := rapid.StringMatching(`[a-d]{0,10}`).Draw(t, "before")
		text := before + secret + "!"
		set := mask.New(secret)
		var out bytes.Buffer
		w := set.Writer(&out)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			_, _ = w.Write([]byte(rest[:n]))
			require.NoError(t, w.Idle())
			rest = rest[n:]
		}
		require.NoError(t, w.Close())
		require.NotContains(t, out.String(), secret)
		require.Contains(t, out.String(), mask.Text)
	})
}

// TestSEC_ColorsDoNotHide is attack A058: codes between the letters.
func TestSEC_ColorsDoNotHide(t *testing.T) {
	for in, want := range map[string]string{
		"<s3c\x1b[0mret-\x1b[1;31mvalue>":                   "<****\x1b[0m\x1b[1;31m>",
		"\x1b[32ms3cret-value\x1b[0m ok":                    "\x1b[32m****\x1b[0m ok",
		"s\x1b]8;;http://x\x07\x1b(B\x1b=3cret-value":       "****\x1b]8;;http://x\x07\x1b(B\x1b=",
		"\x1b[31mplain\x1b[0m \x1b \x1b[":                   "\x1b[31mplain\x1b[0m \x1b \x1b[",
		"\x1b]" + strings.Repeat("x", 300) + "s3cret-value": "\x1b]" + strings.Repeat("x", 300) + "****",
		"\x1b[\x1b[\x1b]\x1bs3cret-value\x1b":               "\x1b[\x1b[\x1b]\x1bs3cret-value\x1b",
	} {
		for _, size := range []int{1, 2, 3, 1000} {
			var out bytes.Buffer
			w := mask.New("s3cret-value").Writer(&out)
			for p := []byte(in); len(p) > 0; p = p[min(size, len(p)):] {
				_, _ = w.Write(p[:min(size, len(p))])
			}
			require.NoError(t, w.Close())
			if strings.HasPrefix(in, "\x1b[\x1b[") {
				require.NotContains(t, out.String(), "3cret-value")
				continue
			}
			require.Equal(t, want, out.String(), "%q by %d", in, size)
		}
	}
}

func TestHoldIsReleased(t *testing.T) {
	set := mask.New("0123456789abcdef")
	for text, want := range map[string]string{
		"x 01": "x 01", "x 0123": "x 0123", "x 01234567": "x 01234567",
		"x 012345678": "x ****", "x 0123456789abcde": "x ****", "x 0123456789abcdef": "x ****",
	} {
		var out bytes.Buffer
		w := set.Writer(&out)
		_, _ = w.Write([]byte(text))
		require.NotContains(t, out.String(), "0", "held")
		require.NoError(t, w.Close())
		require.Equal(t, want, out.String())
	}
	var out bytes.Buffer
	w := set.Writer(&out)
	_, _ = w.Write([]byte("say 012"))
	require.True(t, w.Waits())
	require.NoError(t, w.Idle())
	require.Equal(t, "say 012", out.String())
	require.False(t, w.Waits())
	_, _ = w.Write([]byte("3456789abcdef!"))
	require.Equal(t, "say 012****!", out.String())
}

func TestEndlessOverlapIsBounded(t *testing.T) {
	var out bytes.Buffer
	w := mask.New("aaaa").Writer(&out)
	for range 300 {
		_, _ = w.Write(bytes.Repeat([]byte("a"), 1000))
	}
	_, _ = w.Write([]byte("\nend\n"))
	require.NoError(t, w.Close())
	require.Regexp(t, `^[*]+\nend\n$`, out.String())
}

func TestReplace(t *testing.T) {
	got := mask.New("abcd", "wxyz").Replace("1abcd2wxyz3", strings.ToUpper)
	require.Equal(t, "1ABCD2WXYZ3", got)
}

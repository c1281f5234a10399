package support_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/support"
)

func ExampleRedactor() {
	r := support.New("correct horse")
	text, n := r.Text("correct horse; database: postgres://rondo:hunter22@db/rondo; token: env:GITHUB_TOKEN")
	fmt.Println(text, n)
	// Output: <redacted>; database: postgres://rondo:<redacted>@db/rondo; token: env:GITHUB_TOKEN 2
}

// part joins what must not stand in a repository in one piece.
func part(all ...string) string { return strings.Join(all, "") }

func TestTRB07_LooksOfSecrets(t *testing.T) {
	r := support.New("staple-battery", "two\nlines-of-it")
	for text, secret := range map[string]string{
		"x staple-battery y": "staple-battery", "only lines-of-it": "lines-of-it",
		part("gh", "p_0123456789abcdefghijklmnopqrstuvwxyz"):                          "0123456789abcdef",
		part("key AKI", "A0123456789ABCDEF"):                                          "0123456789ABCDEF",
		part("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def-123"):                  "eyJzdWIiOiIxIn0",
		"-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----": "MIIEow",
		"-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNz and then it was cut":      "b3BlbnNz",
		"GET https://kim:open.sesame@git.example.com/x":                               "open.sesame",
		`level=INFO msg="login" password="it's \"this\" one" user=kim`:                "this",
		"DB_PASSWORD=hunter22": "hunter22", `{"api_key": "0123456789"}`: "0123456789", "passphrase: 'a b c d e'": "b c",
		"Authorization: Bearer abcdefgh12345": "abcdefgh12345", "Circle-Token: 0123456789ab": "0123456789ab", "curl -H 'Cookie: sid=abcdef'": "abcdef",
		"docker login --password-stdin --password hunter22 -u kim": "hunter22", "https://h/x?access_token=abcdef99&y=1": "abcdef99",
		"slack " + part("xox", "b-1234567890-abcdef"): "1234567890", part("hvs", ".CAESIJ0123456789abcdefgh"): "CAESIJ",
	} {
		got, n := r.Text(text)
		require.NotContains(t, got, secret, text)
		require.Positive(t, n, text)
		again, _ := r.Text(got)
		require.Equal(t, got, again, "twice is no harm")
	}
	for _, plain := range []string{
		"token: file:/etc/rondo/github-token", "passphrase: env:RONDO_PASSPHRASE", "8 tokens were spent", `{"next_page_token":null}`, "secrets: {passphrase: \"file:/etc/rondo/p\"}", "secrets:\n    key: /etc/k", "level=INFO msg=\"task claimed\" task=0190.0 worker=h/7/abc",
		"https://ci.example.com:8080/jobs/gh/acme/shop/7",
	} {
		got, n := r.Text(plain)
		require.Equal(t, plain, got)
		require.Zero(t, n)
	}
}

func FuzzText(f *testing.F) {
	f.Add("password=a b \" c", "sesame")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got, _ := support.New(secret).Text(text + secret + text)
		if s := strings.TrimSpace(secret); len(s) >= 6 && !strings.Contains(support.Mark, s) {
			require.NotContains(t, got, s)
		}
	})
}

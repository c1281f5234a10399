package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/stretchr/testify/require"
)

// browser is somebody who is logged in by the token.
func browser(t *testing.T, s *server) func(method, path string, values url.Values) (int, string) {
	return browserBy(t, s, http.Client{})
}

// browserBy is browser with a client of its own. The text of an answer that
// leads elsewhere, and is not followed, is where to.
func browserBy(t *testing.T, s *server, client http.Client) func(method, path string, values url.Values) (int, string) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client.Jar = jar
	return func(method, path string, values url.Values) (int, string) {
		req, err := http.NewRequest(method, s.URL+path, strings.NewReader(values.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Origin", s.URL)
		res, err := client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		if to := res.Header.Get("Location"); to != "" {
			text = []byte(to)
		}
		return res.StatusCode, string(text)
	}
}

// The page of settings: the guide's anchor, a test point, saving that is in
// force at once and after a restart, mistakes by field, and no secret anywhere.
func TestMET01_SettingsPage(t *testing.T) {
	cloud := metricstest.NewCloudWatch()
	defer cloud.Close()
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", cloud.URL)
	s, data := team(t, "metrics: {interval: 1s}\n")
	ask := browser(t, s)
	code, _ := ask("GET", "/login?token="+s.Token, nil)
	require.Less(t, code, 400)
	code, text := ask("GET", "/settings", nil)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, `id="cloudwatch_metrics"`)
	require.Contains(t, text, "TLS is off")

	form := url.Values{"section": {"cloudwatch_metrics"}, "do": {"try"}, "auth": {"keys"}, "access_key": {"AKIAEXAMPLE"}, "region": {"us-west-2"}, "namespace": {"ci_metrics"}}
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 400, code)
	require.Contains(t, text, "ecret_key is missing", "MET-09")
	require.Contains(t, text, "AKIAEXAMPLE", "what was typed is kept")
	form.Set("secret_key", "canary-secret")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, s.errors())
	require.Contains(t, text, "It was taken")
	require.NotContains(t, text, "canary-secret")
	got, _ := cloud.Data()
	require.Equal(t, "circle.self_test", got[0].Name)

	form.Set("do", "save")
	form.Set("enabled", "on")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, "saved and in force")
	require.NotContains(t, text, "canary-secret")
	has := func() bool {
		all, _ := cloud.Data()
		for _, d := range all {
			if d.Name == "circle.nomad.server_agent.jobs.pending" && d.Namespace == "ci_metrics" {
				return true
			}
		}
		return false
	}
	s.eventually("CloudWatch has figures", has)
	code, text = ask("POST", "/settings", url.Values{"section": {"datadog_metrics"}, "do": {"save"}, "enabled": {"on"}, "api_key": {"short"}})
	require.Equal(t, 400, code)
	require.Contains(t, text, "32 hexadecimal digits", "MET-10")
	require.Equal(t, 0, s.stop(), s.errors())

	// It is there after a restart; the secret need not be typed again.
	file := filepath.Join(filepath.Dir(data), "rondo.yml")
	before, _ := cloud.Data()
	s = start(t, program(t, "serve", "--json", "--config", file))
	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	s.eventually("figures after the restart", func() bool { all, _ := cloud.Data(); return len(all) > len(before)+5 })
	ask = browser(t, s)
	_, _ = ask("GET", "/login?token="+s.Token, nil)
	form.Set("secret_key", "")
	form.Set("namespace", "other")
	code, text = ask("POST", "/settings", form)
	require.Equal(t, 200, code, text)
	require.Equal(t, 0, s.stop(), s.errors())
	require.NotContains(t, s.errors(), "canary-secret")
	raw, err := os.ReadFile(filepath.Join(data, "rondo.db"))
	require.NoError(t, err)
	require.NotContains(t, string(raw), "canary-secret")
}

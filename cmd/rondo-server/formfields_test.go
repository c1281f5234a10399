package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"html"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/rondo-ci/rondo/proxy/certificate"
)

// Each field of the guide's forms for CloudWatch and DataDog: what is wrong is
// said by its name, and a good value reaches the other end.
func TestMET09_MET10_EachFieldOfTheFormsOfMetrics(t *testing.T) {
	cloud := metricstest.NewCloudWatch()
	defer cloud.Close()
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", cloud.URL)
	s, _ := team(t, "metrics: {interval: 1s}\n")
	ask := loggedIn(t, s)
	forms := map[string]url.Values{
		formCloudWatch: {"enabled": {"on"}, "auth": {"keys"}, "access_key": {"AKIAEXAMPLE"}, "secret_key": {"canary-secret"}, "region": {"us-west-2"}, "namespace": {"ci_metrics"}},
		formDataDog:    {"enabled": {"on"}, "api_key": {strings.Repeat("0", 32)}, "site": {"datadoghq.eu"}},
	}
	send := func(form, field, value string) (int, string) {
		values := url.Values{"section": {form}, "do": {"save"}}
		for k, v := range forms[form] {
			values[k] = v
		}
		values.Set(field, value)
		code, text := ask("POST", "/settings", values)
		return code, html.UnescapeString(text)
	}
	for _, c := range []struct{ form, field, value, want string }{
		{formCloudWatch, "auth", "magic", `auth "magic"`},
		{formCloudWatch, "access_key", "", "access_key is missing"},
		{formCloudWatch, "secret_key", "", "secret_key is missing"},
		{formCloudWatch, "region", "", "region is missing"},
		{formCloudWatch, "region", "nowhere at all", "region"},
		{formCloudWatch, "namespace", "", "namespace is missing"},
		{formCloudWatch, "namespace", "AWS/x", "namespace"},
		{formDataDog, "api_key", "", "api_key"},
		{formDataDog, "api_key", "short", "32 hexadecimal digits"},
		{formDataDog, "site", "https://datadoghq.eu/x", "site"},
	} {
		code, text := send(c.form, c.field, c.value)
		require.Equal(t, 400, code, "%s %q", c.field, c.value)
		require.Contains(t, strings.ToLower(text), strings.ToLower(c.want), "%s %q", c.field, c.value)
		require.NotContains(t, text, "canary-secret")
	}
	code, text := send(formCloudWatch, "enabled", "")
	require.Equal(t, 200, code, text)
	require.NotContains(t, text, `name="enabled" value="on" checked`)
	got, _ := cloud.Data()
	require.Empty(t, got, "it is off")
	code, text = send(formCloudWatch, "namespace", "shop/ci")
	require.Equal(t, 200, code, text)
	require.Contains(t, text, `value="shop/ci"`)
	s.eventually("figures in the namespace", func() bool {
		all, _ := cloud.Data()
		return len(all) > 0 && all[0].Namespace == "shop/ci"
	})
	code, text = send(formDataDog, "site", "datadoghq.eu")
	require.Equal(t, 200, code, text)
	require.Contains(t, text, `value="datadoghq.eu"`)
}

// Both fields of the form of the certificate.
func TestCRT08_EachFieldOfTheFormOfTheCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	require.NoError(t, certificate.Provisional(cert, key, "ci.example.com"))
	good, goodKey := string(mustRead(cert)), string(mustRead(key))
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(other)
	require.NoError(t, err)
	otherKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))

	folder, err := datadir.Open(filepath.Join(dir, "data"))
	require.NoError(t, err)
	defer folder.Close()
	reach, err := openReach(nil, nil, nil)
	require.NoError(t, err)
	in := &installation{url: "https://ci.example.com", folder: folder, reach: reach}
	form := tlsForm{in}
	for name, c := range map[string]struct{ cert, key, want string }{
		"no certificate":    {"", goodKey, "certificate"},
		"not a certificate": {"hello", goodKey, "certificate"},
		"no key":            {good, "", "the private key is missing"},
		"not a key":         {good, "hello", "key"},
		"another key":       {good, otherKey, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			lines, err := form.try(t.Context(), map[string]string{"cert": c.cert, "key": c.key})
			text := strings.Join(lines, "\n")
			if err != nil {
				text = err.Error()
			}
			require.Contains(t, strings.ToLower(text), c.want)
			require.NotContains(t, text, "Clients will accept it")
		})
	}
}

// Package ecrtest is an ECR for tests: it answers GetAuthorizationToken over the
// wire, and checks signatures with Amazon's own code.
package ecrtest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A Server gives its password to whoever signs with its keys.
type Server struct {
	URL, Region          string
	ID, Secret, Password string
	// Denied takes the permission away from the keys.
	Denied bool
}

// New starts a server, until the test ends.
func New(t testing.TB, password string) *Server {
	s := &Server{Region: "eu-central-1", ID: "AKIAEXAMPLE0KEY", Secret: "the/secret+of the key", Password: password}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Endpoint says that every registry is this server's.
func (s *Server) Endpoint(string) (address, region string, ok bool) { return s.URL, s.Region, true }

// ServeHTTP answers as ECR does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fail := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "as the test wanted"})
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	sum := sha256.Sum256(body)
	again, made := http.NewRequest(r.Method, s.URL+r.URL.Path, nil)
	if err != nil || made != nil {
		fail("IncompleteSignatureException")
		return
	}
	again.ContentLength = -1
	for _, name := range []string{"Content-Type", "X-Amz-Target", "X-Amz-Security-Token"} {
		if v := r.Header.Get(name); v != "" {
			again.Header.Set(name, v)
		}
	}
	keys := aws.Credentials{AccessKeyID: s.ID, SecretAccessKey: s.Secret}
	err = v4.NewSigner().SignHTTP(context.Background(), keys, again, hex.EncodeToString(sum[:]), "ecr", s.Region, at)
	got := r.Header.Get("Authorization")
	switch {
	case !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken"):
		fail("UnknownOperationException")
	case !strings.Contains(got, "Credential="+s.ID+"/"):
		fail("UnrecognizedClientException")
	case err != nil || got != again.Header.Get("Authorization"):
		fail("com.amazon.coral.service#InvalidSignatureException")
	case s.Denied:
		fail("AccessDeniedException")
	default:
		token := base64.StdEncoding.EncodeToString([]byte("AWS:" + s.Password))
		_ = json.NewEncoder(w).Encode(map[string]any{"authorizationData": []map[string]any{{"authorizationToken": token, "proxyEndpoint": "https://x"}}})
	}
}

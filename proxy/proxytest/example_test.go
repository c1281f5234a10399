package proxytest_test

import (
	"fmt"
	"testing"

	"github.com/rondo-ci/rondo/proxy/proxytest"
)

func ExampleStart() {
	_ = func(t *testing.T) {
		squid := proxytest.Start(t, proxytest.Config{Login: "ci:s3cret", Hosts: map[string]string{"origin.test": "127.0.0.1"}})
		t.Setenv("http_proxy", squid.With("ci:s3cret"))
		// ... whatever asks for http://origin.test:8080/x, and then
		if !squid.Saw("GET", 200, "origin.test:8080/x") {
			t.Fatal(squid.Log())
		}
	}
	fmt.Println("in a test")
	// Output: in a test
}

package statsd_test

import (
	"fmt"

	"github.com/rondo-ci/rondo/metrics/statsd"
)

func ExampleParse() {
	m, err := statsd.Parse("circle.http.request:250|ms|@0.5|#status:200")
	fmt.Println(m.Name, m.Values[0], m.Weight, m.Tags, err)
	_, err = statsd.Parse("circle.http.request:250")
	fmt.Println(err)
	// Output:
	// circle.http.request 0.25 2 [{status 200}] <nil>
	// the type is missing: name:value|type
}

func ExampleListen() {
	s, err := statsd.Listen("127.0.0.1:0", statsd.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(s.Addr().Network()) // s.Run reads, and s is an input of a metrics.Hub
	// Output: udp
}

package ec2test_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// A client that does not sign gets nothing, as at Amazon.
func Example() {
	cloud := ec2test.New(ec2test.Config{})
	cloud.Room("m5.large", "us-west-2a", 0)
	cloud.Script(ec2test.Rule{Action: "RunInstances", Times: 1, Code: "RequestLimitExceeded"})
	form := url.Values{"Action": {"RunInstances"}, "Version": {"2016-11-15"}}
	for range 2 {
		r, err := cloud.Client().Post("https://ec2.us-west-2.amazonaws.com/", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.StatusCode, http.StatusText(r.StatusCode))
		_ = r.Body.Close() // in memory
	}
	fmt.Println(cloud.Calls("RunInstances"))
	// Output:
	// 503 Service Unavailable
	// 403 Forbidden
	// 2
}

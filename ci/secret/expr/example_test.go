package expr_test

import (
	"fmt"

	"github.com/rondo-ci/rondo/ci/secret/expr"
)

func Example() {
	x, err := expr.Parse(`pipeline.git.branch == "main" and not job.ssh.enabled`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(x.Holds(map[string]any{"pipeline.git.branch": "main", expr.SSH: false}))
	fmt.Println(x.Holds(map[string]any{"pipeline.git.branch": "main", expr.SSH: true}))
	fmt.Println(x.Holds(map[string]any{expr.SSH: false}))
	// Output:
	// true <nil>
	// false <nil>
	// false column 1: pipeline.git.branch is not known here
}

func ExampleParse() {
	_, err := expr.Parse(`not pipeline.git.branch starts-with "release/"`)
	fmt.Println(err)
	// Output: column 25: starts-with needs a text, but not binds tighter: write not (... starts-with ...)
}

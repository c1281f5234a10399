package onhost_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// An image is made once; a machine of it boots within a second, and is thrown
// away. This takes root, so that it is not run with the tests.
func Example() {
	ctx := context.Background()
	if _, err := onhost.BuildImage(ctx, "/var/lib/rondo-machines/image", onhost.ImageConfig{Packages: []string{"nodejs"}}, os.Stderr); err != nil {
		fmt.Println(err)
		return
	}
	d, err := onhost.New("our-ci", onhost.Config{Classes: map[string]onhost.Class{"medium": {CPUs: 2, MemoryMB: 4096}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := d.Create(ctx, "job-1", vmservice.Model{Kind: ci.MachineForJob, Class: "medium"}, vmservice.Boot{
		User: "circleci", AuthorizedKey: "ssh-ed25519 AAAA ci", Life: 6 * time.Hour,
	})
	fmt.Println(m.State, m.Address, m.HostKey, err)
	fmt.Println(d.Destroy(ctx, m.ID))
}

// Settings are judged without a look at the host.
func ExampleConfig_Check() {
	fmt.Println(onhost.Config{Dir: "machines", DiskGB: 1}.Check())
	// Output:
	// onhost.dir "machines" is no absolute path: write one such as /var/lib/rondo-machines: invalid
	// onhost.disk_gb is 1: it can be 2 to 16384: invalid
}

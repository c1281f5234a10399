package door_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/storage"
)

func ExampleClient_UseBucket() {
	// On the server files go past the door, if their bucket can do that.
	w := newWorld()
	w.hand("test.0", 1, "")
	bucket := memblob.OpenBucket(nil) // which cannot; a bucket of storage/s3 can
	defer bucket.Close()
	files := storage.NewFiles(bucket, storage.FilesConfig{})
	d := door.New(leases{w}, w, w, w, files, door.Config{Direct: files})
	server := httptest.NewServer(door.Handler(d, key))
	defer server.Close()

	// The agent need not know: what has to pass through the door does.
	c := door.NewClient(server.URL, key.Token("test.0", 1), nil)
	c.UseBucket(nil, slog.Default())
	work, err := c.Claim(context.Background(), "test.0", 1, "agent-7")
	if err != nil {
		fmt.Println(err)
		return
	}
	file := io.NewSectionReader(strings.NewReader("cached"), 0, 6) // or of an os.File
	stored, err := c.PutFile(context.Background(), work.Lease, ci.File{Kind: ci.FileCache, Name: "v1"}, file)
	fmt.Println(stored.Size, err)
	// Output: 6 <nil>
}

package storage_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
)

func ExampleOpenLogs() {
	dir, err := os.MkdirTemp("", "rondo")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	bucket, err := storage.OpenDir(dir + "/bucket")
	if err != nil {
		panic(err)
	}
	defer bucket.Close()
	logs, err := storage.OpenLogs(dir+"/logs", storage.LogsConfig{Bucket: bucket})
	if err != nil {
		panic(err)
	}
	defer logs.Close()

	ctx := context.Background()
	key := ci.LogKey{Task: "0192.0", Epoch: 1, Step: 1}
	next, err := logs.Append(ctx, key, 0, []byte("go test ./...\n"))
	fmt.Println(next, err)
	// The answer was lost, and the agent sends it again with what came since.
	next, err = logs.Append(ctx, key, 0, []byte("go test ./...\nok\n"))
	fmt.Println(next, err)

	_ = logs.End(ctx, key.Task, key.Epoch)
	_ = logs.Seal(ctx, key.Task, key.Epoch) // or let Run do it, a minute later
	r, err := logs.Read(ctx, key, 14)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	fmt.Printf("%q %v\n", b, err)
	// Output:
	// 14 <nil>
	// 17 <nil>
	// "ok\n" <nil>
}

func ExampleLogs_Follow() {
	logs := storage.NewMemLogs()
	defer logs.Close()
	ctx := context.Background()
	key := ci.LogKey{Task: "0192.0", Epoch: 1, Step: 1}
	go func() {
		next, _ := logs.Append(ctx, key, 0, []byte("one\n"))
		_, _ = logs.Append(ctx, key, next, []byte("two\n"))
		_ = logs.End(ctx, key.Task, key.Epoch)
	}()
	for chunk, err := range logs.Follow(ctx, key, 0) {
		if err != nil {
			panic(err)
		}
		fmt.Print(string(chunk))
	}
	// Output:
	// one
	// two
}

func ExampleNewFiles() {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	files := storage.NewFiles(bucket, storage.FilesConfig{})
	ctx := context.Background()

	for _, name := range []string{"v1-deps-main-aa", "v1-deps-main-bb"} {
		f := ci.File{Kind: ci.FileCache, Name: name}
		if _, err := files.PutFile(ctx, "0192", f, strings.NewReader("modules of "+name)); err != nil {
			panic(err)
		}
	}
	for f, err := range files.FindFiles(ctx, "0192", ci.File{Kind: ci.FileCache, Name: "v1-deps-main-"}) {
		if err != nil {
			panic(err)
		}
		r, err := files.OpenFile(ctx, "0192", f)
		if err != nil {
			panic(err)
		}
		b, err := io.ReadAll(r) // io.EOF means that the bytes are the right ones
		_ = r.Close()
		fmt.Printf("%s, %v\n", b, err)
		break // the newest is enough
	}
	// Output: modules of v1-deps-main-bb, <nil>
}

func ExampleOpenDir() {
	dir, err := os.MkdirTemp("", "rondo")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	bucket, err := storage.OpenDir(dir)
	if err != nil {
		panic(err)
	}
	defer bucket.Close()
	err = bucket.WriteAll(context.Background(), "audit/2026/01.json", []byte("{}"), nil)
	b, rerr := os.ReadFile(dir + "/audit/2026/01.json")
	fmt.Println(err, string(b), rerr)
	// Output: <nil> {} <nil>
}

func ExampleFiles_Trim() {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	files := storage.NewFiles(bucket, storage.FilesConfig{})
	removed, err := files.Trim(context.Background(), "0192", ci.FileCache, storage.TrimConfig{MaxBytes: 10 << 30})
	fmt.Println(removed, err)
	// Output: 0 <nil>
}

// A file that its sender sends to the bucket itself.
func ExampleFiles_BeginFile() {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	files := storage.NewFiles(bucket, storage.FilesConfig{}) // with Direct, a store of storage/s3
	ctx := context.Background()

	data := strings.Repeat("x", storage.MinDirect)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(data)))
	f := ci.File{Kind: ci.FileCache, Name: "v1", Size: int64(len(data)), SHA256: sum}
	_, u, err := files.BeginFile(ctx, "0192", f, ci.Upload{Part: f.Size, Sums: []string{sum}})
	switch {
	case err != nil:
		fmt.Println(err)
	case u.ID == "":
		fmt.Println("put it")
	default: // after a PUT to each of u.Links
		f, err = files.CommitFile(ctx, "0192", f, u)
		fmt.Println(f.Stored, err)
	}
	// Output: put it
}

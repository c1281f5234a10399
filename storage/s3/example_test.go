package s3_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/storage/s3"
)

func ExampleOpen() {
	store, err := s3.Open(context.Background(), s3.Config{
		Bucket: "rondo", Region: "eu-central-1", Prefix: "ci",
		AccessKey: "AKIAEXAMPLE", SecretKey: "from a file",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Blobs().Close()
	// store.Check(ctx) tries it; store.Run(ctx, tell) cleans up;
	// storage.NewFiles(store.Blobs(), ...) keeps files in it.
	_, err = s3.Open(context.Background(), s3.Config{Bucket: "s3://rondo"})
	fmt.Println(err)
	// Output:
	// open bucket at s3: bucket "s3://rondo": name the bucket, without s3:// and slashes: invalid
}

package bucket_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/audittest"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func TestAUD01_Folder(t *testing.T) {
	audittest.Bucket(t, func(t *testing.T) audit.Bucket {
		b, err := storage.OpenDir(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { _ = b.Close() })
		return bucket.New(b)
	})
}

func TestAUD01_Blob(t *testing.T) {
	audittest.Bucket(t, func(*testing.T) audit.Bucket { return bucket.New(memblob.OpenBucket(nil)) })
}

func TestAUD01_Memory(t *testing.T) {
	audittest.Bucket(t, func(*testing.T) audit.Bucket { return &audit.Memory{} })
}

// TestAUD03_TheGuidesLoop runs the guide's script, with its slips mended, over
// a folder: list, fetch, grep.
func TestAUD03_TheGuidesLoop(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	b, err := storage.OpenDir(dir)
	require.NoError(t, err)
	defer b.Close()
	signer, err := audit.NewSigner("test", []byte("a seed of the tests"))
	require.NoError(t, err)
	book := audit.New(memdb.New(), bucket.New(b), signer, audit.Config{})
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		for _, action := range []string{"workflow.job.start", "workflow.job.finish"} {
			act := ci.Act{Action: action, Success: true, At: at, Target: map[string]string{"type": "project", "job.job_name": fmt.Sprint("job", i)}}
			require.NoError(t, book.Record(ctx, act))
		}
		require.NoError(t, book.Seal(ctx, at.Add(time.Duration(i)*time.Hour)))
	}
	require.NoError(t, book.Seal(ctx, at.Add(4*time.Hour)))
	bin := t.TempDir()
	aws := "#!/bin/bash\ncd " + dir + `
case "$1 $2" in
"s3api list-objects") find "$6" -type f | sort | sed 's/.*/{"Key":"&"}/' ;;
"s3 cp") cat "${4#s3://book/}" ;;
esac`
	jq := "#!/bin/bash\nsed 's/.*\"Key\":\"\\(.*\\)\"}/\\1/'\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "aws"), []byte(aws), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "jq"), []byte(jq), 0o755))
	script := `BUCKET=book
for key in $(aws s3api list-objects --bucket $BUCKET --prefix audit-logs/audit_log/v1/ --output json | jq -r '.Contents[].Key'); do
echo $key
aws s3 cp --quiet s3://$BUCKET/$key - | grep workflow.job.start
done`
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	for i := range 3 {
		require.Contains(t, string(out), fmt.Sprintf(`"job_name":"job%d"`, i))
	}
	require.NotContains(t, string(out), "workflow.job.finish")
}

func ExampleNew() {
	b := bucket.New(memblob.OpenBucket(nil))
	fmt.Println(b.Create(context.Background(), "audit-logs/note", []byte("once")))
	fmt.Println(b.Create(context.Background(), "audit-logs/note", []byte("twice")))
	// Output:
	// <nil>
	// create audit-logs/note: there is an object of this name: conflict
}

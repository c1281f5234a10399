package storage_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/storagetest"
)

// BenchmarkLogsAppend measures one writer of one stream, synced to disk.
func BenchmarkLogsAppend(b *testing.B) {
	for _, size := range []int{100, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			logs, err := storage.OpenLogs(b.TempDir(), storage.LogsConfig{})
			require.NoError(b, err)
			defer logs.Close()
			data := []byte(storagetest.Text(rand.New(rand.NewPCG(1, 1)), size))
			k := ci.LogKey{Task: "job.0", Epoch: 1}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			next := int64(0)
			lines := bytes.Count(data, []byte("\n"))
			for b.Loop() {
				if next, err = logs.Append(b.Context(), k, next, data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// BenchmarkLogsTwentyTasks measures 20 tasks that write at once, in pieces of 100
// lines as agents send them, each durable before the next: at least 50,000
// lines/s, with none dropped. The floor is one writer to one file, with a sync
// after each piece.
func BenchmarkLogsTwentyTasks(b *testing.B) {
	const tasks, lines = 20, 100
	piece := []byte(strings.Repeat("a line of output, as programs print it\n", lines))
	b.Run("floor", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		require.NoError(b, err)
		defer f.Close()
		for b.Loop() {
			_, err := f.Write(piece)
			require.NoError(b, err)
			require.NoError(b, f.Sync())
		}
		b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
	})
	b.Run("tasks", func(b *testing.B) {
		logs, err := storage.OpenLogs(b.TempDir(), storage.LogsConfig{})
		require.NoError(b, err)
		defer logs.Close()
		var left atomic.Int64
		left.Store(int64(b.N))
		var kept atomic.Int64
		var writers sync.WaitGroup
		for i := range tasks {
			writers.Go(func() {
				k := ci.LogKey{Task: ci.JobID(fmt.Sprint("job", i)).Task(0), Epoch: 1}
				next, err := int64(0), error(nil)
				for left.Add(-1) >= 0 {
					if next, err = logs.Append(b.Context(), k, next, piece); err != nil {
						b.Error(err)
						return
					}
				}
				size, err := logs.Size(b.Context(), k)
				if err != nil || size != next {
					b.Errorf("%d bytes of %d: %v", size, next, err)
				}
				kept.Add(size)
			})
		}
		writers.Wait()
		require.Equal(b, int64(b.N*len(piece)), kept.Load(), "nothing is dropped")
		b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
	})
}

// BenchmarkLogsTrivialJob measures all that the output of a job with two
// steps of a line costs.
func BenchmarkLogsTrivialJob(b *testing.B) {
	logs, err := storage.OpenLogs(b.TempDir(), storage.LogsConfig{})
	require.NoError(b, err)
	defer logs.Close()
	n := 0
	for b.Loop() {
		k := ci.LogKey{Task: ci.JobID(ci.NewID()).Task(0), Epoch: 1}
		for k.Step = range 2 {
			if _, err := logs.Append(b.Context(), k, 0, []byte("hi\n")); err != nil {
				b.Fatal(err)
			}
		}
		if err := logs.End(b.Context(), k.Task, k.Epoch); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkLogsTail measures opening the last 64 KiB of a long sealed log.
func BenchmarkLogsTail(b *testing.B) {
	bucket := openDir(b, b.TempDir())
	logs, err := storage.OpenLogs(b.TempDir(), storage.LogsConfig{Bucket: bucket, MaxOpen: 1})
	require.NoError(b, err)
	defer logs.Close()
	data := []byte(storagetest.Text(rand.New(rand.NewPCG(1, 1)), 1<<20))
	k := ci.LogKey{Task: "job.0", Epoch: 1}
	next := int64(0)
	for range 200 {
		if next, err = logs.Append(b.Context(), k, next, data); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, logs.End(b.Context(), k.Task, k.Epoch))
	require.NoError(b, logs.Seal(b.Context(), k.Task, k.Epoch))
	for b.Loop() {
		r, err := logs.Read(b.Context(), k, next-64<<10)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != 64<<10 || err != nil {
			b.Fatal(n, err)
		}
		_ = r.Close()
	}
}

func BenchmarkFilesPut(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			files := storage.NewFiles(openDir(b, b.TempDir()), storage.FilesConfig{})
			data := strings.Repeat("0123456789abcdef", size/16)
			b.SetBytes(int64(size))
			n := 0
			for b.Loop() {
				f := ci.File{Kind: ci.FileArtifact, Task: "job.0", Epoch: 1, Name: fmt.Sprint(n)}
				if _, err := files.PutFile(b.Context(), "p", f, strings.NewReader(data)); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

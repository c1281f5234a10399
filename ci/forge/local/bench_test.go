package local_test

import (
	"testing"

	"github.com/rondo-ci/rondo/ci/forge/local"
)

func BenchmarkOpen(b *testing.B) {
	dir := folder(b)
	commit(b, dir, "one")
	for b.Loop() {
		if _, err := local.Open(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	dir := folder(b)
	commit(b, dir, "one")
	r := open(b, dir)
	snapshot := func(b *testing.B) {
		for b.Loop() {
			s, err := r.Snapshot(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			_ = s.Close()
		}
	}
	b.Run("clean", snapshot)
	write(b, dir, "file", "changed")
	write(b, dir, "new", "new")
	b.Run("changed", snapshot)
}

//go:build unix

package mask_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/rondo-ci/rondo/ci/agent/mask"
)

// BenchmarkWriter is the speed of the agent's output with 100 secrets. Beside
// what the wall clock says it reports MB per second of processor time, which
// is what one core does however busy the machine is; 200 is the promise.
func BenchmarkWriter(b *testing.B) {
	var secrets []string
	for i := range 100 {
		secrets = append(secrets, fmt.Sprintf("secret-%d-%x", i, i*7919))
	}
	random := make([]byte, 60_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for _, c := range []struct{ name, line string }{
		{"log", "2026-11-25 12:00:00 ok github.com/acme/shop/store 0.123s\n"},
		{"near", "2026-11-25 secret-7-d87x secret-99-bf5 secret-12 and more\n"}, // attack A053: near misses
		{"hits", "2026-11-25 the token is secret-7-d889 and that was one of it\n"},
		{"color", "\x1b[32m2026-11-25\x1b[0m ok \x1b[1mgithub.com/acme/shop/store\x1b[0m 0.123s\n"},
		{"utf8", "✓ prüft github.com/acme/shop/store – 0,123 s, “fertig”\n"},
		{"random", string(random)},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := bytes.Repeat([]byte(c.line), 1+60_000/len(c.line))
			w := mask.New(secrets...).Writer(discard{})
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			before := processor(b)
			for b.Loop() {
				_, _ = w.Write(text)
			}
			b.ReportMetric(float64(b.N)*float64(len(text))/1e6/(processor(b)-before), "MB/cpu-s")
		})
	}
}

// processor returns the seconds of processor time that the process has used.
func processor(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		mask.New("s3cr3t-one-of-usual-length", "another-secret-value", "short1")
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

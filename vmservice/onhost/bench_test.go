package onhost_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The time from Create to a login, to an engine that answers, and that of a
// volume to be there.
func BenchmarkMachine(b *testing.B) {
	d := open(b, config(b))
	ctx := context.Background()
	var ready, entered, docker, attached time.Duration
	n := 0
	for b.Loop() {
		n++
		begin := time.Now()
		m, err := d.Create(ctx, fmt.Sprint(n), forJob, boot(time.Hour))
		require.NoError(b, err)
		ready += time.Since(begin)
		c := enter(b, m)
		entered += time.Since(begin)
		wait(b, "docker answers", func() bool { _, err := run(c, "docker version"); return err == nil })
		docker += time.Since(begin)
		v, err := d.CreateVolume(ctx, fmt.Sprint(n), 10, "", nil)
		require.NoError(b, err)
		begin = time.Now()
		_, err = d.Attach(ctx, v.ID, m.ID)
		require.NoError(b, err)
		attached += time.Since(begin)
		require.NoError(b, d.Destroy(ctx, m.ID))
	}
	for name, total := range map[string]time.Duration{"create": ready, "ssh": entered, "docker": docker, "attach": attached} {
		b.ReportMetric(float64(total.Milliseconds())/float64(n), name+"-ms")
	}
}

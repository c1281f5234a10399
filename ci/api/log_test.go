package api_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/storage"
)

// breaking is output whose disk fails after a few bytes.
type breaking struct{ *storage.Logs }

func (breaking) Size(context.Context, ci.LogKey) (int64, error) { return 100, nil }

func (breaking) Read(context.Context, ci.LogKey, int64) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write([]byte("part"))
		_ = w.CloseWithError(errors.New("disk error"))
	}()
	return r, nil
}

func (breaking) Follow(context.Context, ci.LogKey, int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		_ = yield([]byte("part"), nil) && yield(nil, errors.New("disk error"))
	}
}

// TestP7_CutOutputIsNoticed makes sure that a part is never taken for the
// whole.
func TestP7_CutOutputIsNoticed(t *testing.T) {
	w := newWorld(t)
	l := w.run(w.workflow(w.trigger(ci.Trigger{})), "build", 0)
	s := httptest.NewServer(api.New(w.server, w.db, breaking{w.logs}, w.files, w.cfg))
	defer s.Close()
	for _, follow := range []string{"", "&follow=true"} {
		r, err := http.NewRequest("GET", s.URL+"/api/v2/rondo/log?task="+string(l.Task)+follow, nil)
		require.NoError(t, err)
		r.Header.Set("Circle-Token", token)
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		data, err := io.ReadAll(res.Body)
		require.Equal(t, "part", string(data))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_ = res.Body.Close()
	}
}

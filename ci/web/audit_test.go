package web_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	book "github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// newBook is an audit log with events about a text, which one of its sinks has
// for a name.
func newBook(texts ...string) *book.Book {
	signer, _ := book.NewSigner("ci.example", []byte("a seed of the tests"))
	b := book.New(memdb.New(), &book.Memory{}, signer, book.Config{})
	for _, text := range texts {
		_ = b.Record(context.Background(), ci.Act{
			Action: "context.env_var.store", Actor: ci.Actor{ID: text, Kind: ci.ActorUser, Login: text}, Reason: text,
			Target: map[string]string{"type": "context", "id": text, "name": text, "org": text, "variable": text, "more": text},
		})
	}
	_ = b.Seal(context.Background(), time.Now())
	return b
}

func TestAUD04_Page(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	furnish(w)
	var many []string
	for i := range 60 {
		many = append(many, strings.Repeat("n", i+1))
	}
	log := newBook(many...)
	w.cfg.Chapters.Audit = log
	h := w.handler()
	_, body := get(t, h, "/audit")
	require.Contains(t, body, "not verified since the start")
	require.Contains(t, body, ">Older<")
	require.Contains(t, body, "context.env_var.store")
	_, body = get(t, h, "/audit?actor=nnn")
	require.Equal(t, 1, strings.Count(body, `<span class="tag bad">refused</span>`))
	_, body = get(t, h, "/audit?from=2199-01-01")
	require.Contains(t, body, "No event matches.")
	res, _ := get(t, h, "/audit?from=soon")
	require.Equal(t, 400, res.StatusCode)
	_, err := log.Check(t.Context())
	require.NoError(t, err)
	_, body = get(t, h, "/audit?before=20")
	require.Contains(t, body, `<span class="tag ok">verified</span>`)
	require.NotContains(t, body, ">Older<")
	res, body = get(t, h, "/audit/export?format=csv&actor=nnn")
	require.Equal(t, "text/csv; charset=utf-8", res.Header.Get("Content-Type"))
	require.Contains(t, res.Header.Get("Content-Disposition"), "audit.csv")
	require.Equal(t, 2, strings.Count(body, "\r\n"))
	res, _ = get(t, h, "/audit/export?format=xls")
	require.Equal(t, 400, res.StatusCode)
	code, to, _ := sends(t, w, "/audit")
	require.Equal(t, 303, code)
	require.Equal(t, "/audit", to)
}

package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func TestAUD04_ListExportVerify(t *testing.T) {
	db := memdb.New()
	signer, err := audit.NewSigner("test", []byte("a seed of the tests"))
	require.NoError(t, err)
	who := ci.Actor{ID: "7", Kind: ci.ActorUser, Login: "alice"}
	book := audit.New(db, &audit.Memory{}, signer, audit.Config{May: func(_ context.Context, by ci.Actor) error {
		if by != who {
			return fmt.Errorf("only auditors: %w", ci.ErrDenied)
		}
		return nil
	}})
	a := api.New(nil, db, nil, nil, api.Config{
		Auth: func(_ *http.Request, token string) (ci.Actor, error) {
			if token == "t" {
				return who, nil
			}
			return ci.Actor{ID: "8", Kind: ci.ActorUser, Login: "bob"}, nil
		},
		Chapters: api.Chapters{Audit: book},
	})
	for i := range 7 {
		require.NoError(t, book.Record(t.Context(), ci.Act{Action: "context.create", Actor: who, Success: true, Target: map[string]string{"type": "context", "id": fmt.Sprint(i)}}))
	}
	require.NoError(t, book.Seal(t.Context(), time.Now()))
	get := func(token, path string) (int, string) {
		r := httptest.NewRequest("GET", "/api/v2/rondo/audit"+path, nil)
		r.Header.Set("Circle-Token", token)
		r.Header.Set("X-Client-Trace-Id", "trace-9")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(body)
	}
	var page struct {
		Items []struct{ Action string }
		Next  *string `json:"next_page_token"`
	}
	code, body := get("t", "?limit=5&action=context.*")
	require.Equal(t, 200, code, body)
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	require.Len(t, page.Items, 5)
	_, body = get("t", "?limit=5&page-token="+*page.Next)
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	require.Len(t, page.Items, 2)
	require.Nil(t, page.Next)
	code, body = get("t", "/export")
	require.Equal(t, 200, code)
	require.Contains(t, body, "id,version,action,success,occurred_at,actor,target,scope,payload,metadata,request\r\n")
	code, body = get("t", "/verify")
	require.Equal(t, 200, code)
	require.Contains(t, body, `"ok":true`)
	require.NoError(t, book.Seal(t.Context(), time.Now()))
	_, body = get("t", "?action=rondo.audit.export")
	require.Contains(t, body, `"client_trace_id":"trace-9"`, "the download is on record")
	code, body = get("t", "/export?format=xls")
	require.Equal(t, 400, code, body)
	code, _ = get("t", "?from=yesterday")
	require.Equal(t, 400, code)
	for _, path := range []string{"", "/export", "/verify"} {
		code, body := get("b", path)
		require.GreaterOrEqual(t, code, 403, body)
	}
}

// A ledger is a book with nothing in it.
type ledger struct{}

func (ledger) Entries(context.Context, ci.AuditQuery, ci.Actor) ([]ci.AuditEntry, uint64, error) {
	return nil, 0, nil
}

func (ledger) Export(_ context.Context, w io.Writer, _ string, _ ci.AuditQuery, _ ci.Actor) error {
	_, err := w.Write([]byte("id\r\n"))
	return err
}

func (ledger) State(context.Context, ci.Actor) (ci.AuditState, error) { return ci.AuditState{}, nil }

func (ledger) VerifyAudit(context.Context, ci.Actor) (ci.AuditState, error) {
	return ci.AuditState{}, nil
}

package pusher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"

	"github.com/coder/websocket"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/pusher"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db := memdb.New()
	_ = db.PutProject(ctx, ci.Project{ID: "shop", Slug: "gh/acme/shop", Settings: ci.Settings{Open: true}})
	server := ci.New(db, nil, ci.Config{})
	s := pusher.New(db, storage.NewMemLogs(), pusher.Config{})
	go func() { _ = s.Run(ctx, server.Follow) }()
	hs := httptest.NewServer(s)
	defer hs.Close()

	ws, _, err := websocket.Dial(ctx, hs.URL+"/app/rondo?protocol=7", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = ws.CloseNow() }()
	_ = ws.Write(ctx, websocket.MessageText, []byte(`{"event":"pusher:subscribe","data":{"channel":"project-shop"}}`))
	for range 3 {
		_, text, err := ws.Read(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		var m struct{ Event string }
		_ = json.Unmarshal(text, &m)
		fmt.Println(m.Event)
		if m.Event == "pusher_internal:subscription_succeeded" {
			_, _ = server.Trigger(ctx, ci.Trigger{Project: "shop", Branch: "main", Revision: "abc"})
		}
	}
	// Output:
	// pusher:connection_established
	// pusher_internal:subscription_succeeded
	// pipeline.created
}

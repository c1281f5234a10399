package auditsink_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/examples/auditsink"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signer, err := audit.NewSigner("ci.example", []byte("a secret of 16 bytes or more"))
	if err != nil {
		fmt.Println(err)
		return
	}
	book := audit.New(memdb.New(), &audit.Memory{}, signer, audit.Config{})
	target := map[string]string{"type": "context", "id": "c1", "name": "prod", "org": "gh/acme"}
	alice, bob := ci.Actor{ID: "1", Kind: ci.ActorUser, Login: "alice"}, ci.Actor{ID: "2", Kind: ci.ActorUser, Login: "bob"}
	_ = book.Record(ctx, ci.Act{Action: "context.create", Actor: alice, Target: target, Success: true})
	_ = book.Record(ctx, ci.Act{Action: "context.delete", Actor: bob, Target: target, Reason: "only administrators may"})
	_ = book.Seal(ctx, time.Now()) // Run does this all the time

	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = book.Stream(ctx, "alarms", &auditsink.Alarms{To: in})
	}()
	line := make([]byte, 200)
	n, _ := out.Read(line)
	fmt.Print(string(line[:n]))
	stop()
	<-done
	// Output:
	// bob was refused context.delete on prod: only administrators may
}

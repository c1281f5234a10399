package audit_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// An act and its event are written together, filed when the hour is over, and
// verified by whoever has the public key.
func ExampleNew() {
	ctx := context.Background()
	signer, err := audit.NewSigner("ci.example", []byte("a secret of 16 bytes or more"))
	if err != nil {
		fmt.Println(err)
		return
	}
	db, files := memdb.New(), &audit.Memory{}
	book := audit.New(db, files, signer, audit.Config{})

	record, _ := book.Draft(ctx, ci.Act{
		Action: "context.create", Actor: ci.Actor{ID: "7", Kind: ci.ActorUser, Login: "alice"}, Success: true,
		Target: map[string]string{"type": "context", "id": "c1", "name": "prod", "org": "gh/acme"},
	})
	_, err = db.WriteDocs(ctx, append(record, ci.DocChange{Doc: ci.Doc{Kind: "context", ID: "c1"}})...)
	fmt.Println("written:", err)

	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	_ = book.Seal(ctx, now) // Run does this all the time
	_ = book.Seal(ctx, now.Add(time.Hour))
	report, err := audit.Verify(ctx, files, signer.Key())
	fmt.Println("verified:", report.Lines, err)
	// Output:
	// written: <nil>
	// verified: 1 <nil>
}

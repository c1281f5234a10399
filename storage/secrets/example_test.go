package secrets_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/secrets"
)

// An installation on its own: a keyset beside the data, its root key elsewhere.
func Example() {
	data, _ := os.MkdirTemp("", "data")
	etc, _ := os.MkdirTemp("", "etc")
	defer os.RemoveAll(data)
	defer os.RemoveAll(etc)
	rootKey := filepath.Join(etc, "root.key")
	if err := secrets.NewKeyFile(rootKey); err != nil {
		panic(err)
	}
	keyset, err := secrets.CreateKeyset(filepath.Join(data, "keyset.json"), secrets.KeyFile(rootKey), secrets.KeysetConfig{Data: data})
	if err != nil {
		panic(err)
	}
	keeper, err := secrets.New("install-1", keyset, secrets.Config{Kinds: []string{"context-variable"}})
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	docs := memdb.New()
	doc, err := keeper.SealDoc(ctx, ci.Doc{Kind: "context-variable", Scope: "context-1", ID: "1", Name: "TOKEN"}, []byte("hunter2"))
	if err != nil {
		panic(err)
	}
	if _, err := docs.WriteDocs(ctx, ci.DocChange{Doc: doc}); err != nil {
		panic(err)
	}

	if _, err := keeper.Rotate(ctx); err != nil { // now and then
		panic(err)
	}
	at, err := keeper.Reseal(ctx, docs, nil)
	fmt.Println(at.Resealed, "resealed", err)

	doc, _ = docs.Doc(ctx, "context-variable", "1")
	plain, err := keeper.OpenDoc(ctx, doc)
	fmt.Println(string(plain), err)
	doc.Name = "ANOTHER" // a row that was copied
	_, err = keeper.OpenDoc(ctx, doc)
	fmt.Println(err)
	// Output:
	// 1 resealed <nil>
	// hunter2 <nil>
	// context-variable 1: open secret: not readable with the keys of this installation
}

func ExamplePassphraseFile() {
	data, _ := os.MkdirTemp("", "data")
	defer os.RemoveAll(data)
	passphrase := filepath.Join(data, "passphrase")
	_ = os.WriteFile(passphrase, []byte("correct horse battery staple\n"), 0o600)
	_, err := secrets.CreateKeyset(filepath.Join(data, "keyset.json"), secrets.PassphraseFile(passphrase), secrets.KeysetConfig{Data: data})
	fmt.Println(err != nil) // not beside the data
	// Output: true
}

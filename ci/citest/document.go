package citest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestDocs checks a [ci.Docs]. open returns an empty one and sees to it that
// it is closed when its test ends.
func TestDocs(t *testing.T, open func(t *testing.T) ci.Docs) { run(t, open, docClauses) }

// milli is an instant as documents hold it.
func milli() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// write writes the changes and returns the documents as kept.
func write(t *testing.T, s ci.Docs, changes ...ci.DocChange) []ci.Doc {
	t.Helper()
	kept, err := s.WriteDocs(t.Context(), changes...)
	require.NoError(t, err)
	require.Len(t, kept, len(changes))
	return kept
}

func put(d ci.Doc) ci.DocChange { return ci.DocChange{Doc: d} }

func ids(docs []ci.Doc) []string {
	out := []string{}
	for _, d := range docs {
		out = append(out, d.ID)
	}
	return out
}

var docClauses = []clause[ci.Docs]{
	{
		"a document comes back as it was written",
		"WriteDocs keeps a document under its kind and ID, with version 1; it is found by ID and by scope and name.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			at := milli()
			want := ci.Doc{
				Kind: "k", ID: "1", Scope: "gh/acme", Name: "ü%_", Body: []byte(`{"a": 1}`), Sealed: "s1:x",
				Due: at.Add(time.Hour), Updated: at,
			}
			kept := write(t, s, put(want))[0]
			want.Version, want.Created = 1, at
			same(t, want, kept)
			got, err := s.Doc(t.Context(), "k", "1")
			require.NoError(t, err)
			same(t, want, got)
			got, err = s.DocNamed(t.Context(), "k", "gh/acme", "ü%_")
			require.NoError(t, err)
			same(t, want, got)
			got.Body[2] = '!'
			got, err = s.Doc(t.Context(), "k", "1")
			require.NoError(t, err)
			same(t, want, got)
		},
	},
	{
		"what is left out",
		"A document without a name has its ID for one; without a time it was updated now; bodies may be empty or not JSON.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			before := milli()
			write(t, s, put(ci.Doc{Kind: "k", ID: "1", Body: []byte{0, 255}}), put(ci.Doc{Kind: "k", ID: "2"}))
			d, err := s.DocNamed(t.Context(), "k", "", "1")
			require.NoError(t, err)
			require.Equal(t, []byte{0, 255}, d.Body)
			require.False(t, d.Updated.Before(before))
			require.Equal(t, d.Updated, d.Created)
			require.Zero(t, d.Due)
			d, err = s.Doc(t.Context(), "k", "2")
			require.NoError(t, err)
			require.Empty(t, d.Body)
		},
	},
	{
		"versions",
		"A change whose version is not that of the document is ErrConflict and nothing of the call is written; AnyVersion is not asked.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			first := write(t, s, put(ci.Doc{Kind: "k", ID: "1", Name: "a"}))[0]
			for _, stale := range []ci.DocChange{
				put(ci.Doc{Kind: "k", ID: "1", Name: "b"}),
				put(ci.Doc{Kind: "k", ID: "1", Name: "b", Version: 2}),
				{Doc: ci.Doc{Kind: "k", ID: "1", Version: 7}, Delete: true},
				put(ci.Doc{Kind: "k", ID: "absent", Version: 1}),
				{Doc: ci.Doc{Kind: "k", ID: "absent", Version: 1}, Delete: true},
			} {
				_, err := s.WriteDocs(t.Context(), put(ci.Doc{Kind: "k", ID: "2"}), stale)
				require.ErrorIs(t, err, ci.ErrConflict)
				require.ErrorContains(t, err, stale.Doc.ID)
			}
			require.Equal(t, []string{"1"}, ids(all(t, s.Docs(t.Context(), ci.DocQuery{Kind: "k", AllScopes: true}))))
			later := milli().Add(time.Minute)
			second := write(t, s, put(ci.Doc{Kind: "k", ID: "1", Scope: "x", Name: "b", Version: 1, Updated: later}))[0]
			require.Equal(t, int64(2), second.Version)
			require.Equal(t, first.Created, second.Created)
			require.Equal(t, later, second.Updated)
			_, err := s.DocNamed(t.Context(), "k", "", "a")
			require.ErrorIs(t, err, ci.ErrNotFound, "it has moved")
			third := write(t, s, put(ci.Doc{Kind: "k", ID: "1", Version: ci.AnyVersion}))[0]
			require.Equal(t, int64(3), third.Version)
			write(t, s, ci.DocChange{Doc: ci.Doc{Kind: "k", ID: "1", Version: 3}, Delete: true})
			write(t, s, ci.DocChange{Doc: ci.Doc{Kind: "k", ID: "1", Version: ci.AnyVersion}, Delete: true})
			_, err = s.Doc(t.Context(), "k", "1")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.Equal(t, int64(1), write(t, s, put(ci.Doc{Kind: "k", ID: "1"}))[0].Version, "made anew")
		},
	},
	{
		"names",
		"A name is unique within kind and scope; taking one that is taken is ErrConflict; one call may free it and take it.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			write(t, s, put(ci.Doc{Kind: "k", ID: "1", Scope: "s", Name: "n"}))
			_, err := s.WriteDocs(t.Context(), put(ci.Doc{Kind: "k", ID: "2", Scope: "s", Name: "n"}))
			require.ErrorIs(t, err, ci.ErrConflict)
			_, err = s.WriteDocs(t.Context(), put(ci.Doc{Kind: "k", ID: "3"}), put(ci.Doc{Kind: "k", ID: "2", Scope: "s", Name: "n", Version: ci.AnyVersion}))
			require.ErrorIs(t, err, ci.ErrConflict)
			_, err = s.Doc(t.Context(), "k", "3")
			require.ErrorIs(t, err, ci.ErrNotFound)
			write(t, s, put(ci.Doc{Kind: "k", ID: "2", Scope: "other", Name: "n"}), put(ci.Doc{Kind: "j", ID: "1", Scope: "s", Name: "n"}))
			write(t, s,
				ci.DocChange{Doc: ci.Doc{Kind: "k", ID: "1", Version: 1}, Delete: true},
				put(ci.Doc{Kind: "k", ID: "4", Scope: "s", Name: "n"}))
			d, err := s.DocNamed(t.Context(), "k", "s", "n")
			require.NoError(t, err)
			require.Equal(t, "4", d.ID)
		},
	},
	{
		"refused",
		"A document without kind or ID, one with a negative version or one that is too large is ErrInvalid.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			for _, d := range []ci.Doc{
				{ID: "1"}, {Kind: "k"}, {Kind: "k", ID: "1", Version: -2},
				{Kind: "k", ID: "1", Body: make([]byte, ci.MaxDoc+1)},
				{Kind: "k", ID: "1", Sealed: string(bytes.Repeat([]byte{'x'}, ci.MaxDoc+1))},
			} {
				_, err := s.WriteDocs(t.Context(), put(d))
				require.ErrorIs(t, err, ci.ErrInvalid)
			}
			_, err := s.WriteDocs(t.Context())
			require.NoError(t, err, "nothing is allowed")
			_, err = s.Doc(t.Context(), "k", "x")
			require.ErrorIs(t, err, ci.ErrNotFound)
			require.ErrorContains(t, err, "k x")
			_, err = s.DocNamed(t.Context(), "k", "x", "y")
			require.ErrorIs(t, err, ci.ErrNotFound)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = s.WriteDocs(over, put(ci.Doc{Kind: "k", ID: "1"}))
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, failure(s.Docs(over, ci.DocQuery{Kind: "k"})), context.Canceled)
		},
	},
	{
		"listing",
		"Docs yields a scope by name, or all by ID; bounds are exclusive; Newest turns the order around; Limit ends it.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			var changes []ci.DocChange
			for i := range 450 { // more than two pages of a database
				changes = append(changes, put(ci.Doc{Kind: "k", ID: fmt.Sprintf("%03d", i), Scope: fmt.Sprint(i % 2), Name: fmt.Sprintf("n%03d", 999-i)}))
			}
			write(t, s, append(changes, put(ci.Doc{Kind: "j", ID: "1", Scope: "0"}))...)
			list := func(q ci.DocQuery) []string { return ids(all(t, s.Docs(t.Context(), q))) }
			require.Len(t, list(ci.DocQuery{Kind: "k", AllScopes: true}), 450)
			require.Len(t, list(ci.DocQuery{Kind: "k", Scope: "0"}), 225)
			require.Len(t, list(ci.DocQuery{Kind: "k", Scope: "0", Newest: true}), 225)
			require.Equal(t, []string{"448", "446"}, list(ci.DocQuery{Kind: "k", Scope: "0", Limit: 2}))
			require.Equal(t, []string{"000", "002"}, list(ci.DocQuery{Kind: "k", Scope: "0", Newest: true, Limit: 2}))
			require.Equal(t, []string{"003", "001"}, list(ci.DocQuery{Kind: "k", Scope: "1", After: "n994"}))
			require.Equal(t, []string{"449", "447"}, list(ci.DocQuery{Kind: "k", Scope: "1", Before: "n553"}))
			require.Equal(t, []string{"003"}, list(ci.DocQuery{Kind: "k", Scope: "1", After: "n994", Before: "n998"}))
			require.Equal(t, []string{"447", "448"}, list(ci.DocQuery{Kind: "k", AllScopes: true, After: "446", Limit: 2}))
			require.Equal(t, []string{"001", "000"}, list(ci.DocQuery{Kind: "k", AllScopes: true, Before: "002", Newest: true}))
			require.Len(t, list(ci.DocQuery{Kind: "k", AllScopes: true, Limit: 200}), 200)
			require.Empty(t, list(ci.DocQuery{Kind: "k"}), "the empty scope is one like any other")
			require.Empty(t, list(ci.DocQuery{Kind: "none", AllScopes: true}))
			last := strings.Repeat("\U0010FFFF", 3) // nothing hides behind the end
			write(t, s, put(ci.Doc{Kind: "k", ID: last, Scope: "2", Name: last}))
			require.Equal(t, []string{last}, list(ci.DocQuery{Kind: "k", Scope: "2"}))
			require.Equal(t, []string{last}, list(ci.DocQuery{Kind: "k", AllScopes: true, Newest: true, Limit: 1}))
		},
	},
	{
		"what is due",
		"DueDocs yields what is due at the instant, the longest overdue first; a document without Due never is.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			at := milli()
			var changes []ci.DocChange
			for i := range 250 {
				changes = append(changes, put(ci.Doc{Kind: "k", ID: fmt.Sprintf("%03d", i), Due: at.Add(-time.Duration(i/2) * time.Second)}))
			}
			write(t, s, append(changes, put(ci.Doc{Kind: "k", ID: "never"}), put(ci.Doc{Kind: "k", ID: "later", Due: at.Add(time.Millisecond)}),
				put(ci.Doc{Kind: "j", ID: "other", Due: at}))...)
			due := func(at time.Time, limit int) []string { return ids(all(t, s.DueDocs(t.Context(), "k", at, limit))) }
			require.Len(t, due(at, 0), 250)
			require.Equal(t, []string{"248", "249", "246"}, due(at, 3))
			require.Len(t, due(at.Add(time.Millisecond), 0), 251)
			require.Empty(t, due(at.Add(-time.Hour), 0))
			write(t, s, put(ci.Doc{Kind: "k", ID: "248", Version: 1, Due: at.Add(time.Hour)}), put(ci.Doc{Kind: "k", ID: "249", Version: 1}))
			require.Equal(t, []string{"246"}, due(at, 1))
		},
	},
	{
		"one of many wins",
		"Of many writers that have read the same version, one succeeds; the others are told ErrConflict.",
		func(t *testing.T, open func(*testing.T) ci.Docs) {
			s := open(t)
			write(t, s, put(ci.Doc{Kind: "k", ID: "1"}))
			const writers, rounds = 8, 20
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for range rounds {
						for {
							d, err := s.Doc(t.Context(), "k", "1")
							if err == nil {
								d.Body = fmt.Appendf(d.Body, "%d", w)
								_, err = s.WriteDocs(t.Context(), put(d))
							}
							if err == nil {
								break
							}
							if !errors.Is(err, ci.ErrConflict) {
								t.Error(err)
								return
							}
						}
					}
				})
			}
			all.Wait()
			d, err := s.Doc(t.Context(), "k", "1")
			require.NoError(t, err)
			require.Len(t, d.Body, writers*rounds, "no write was lost")
			require.Equal(t, int64(1+writers*rounds), d.Version)
		},
	},
}

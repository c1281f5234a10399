package auth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

var ada = ci.Actor{ID: "1", Kind: ci.ActorUser, Login: "ada"}

func TestProjectTokens(t *testing.T) {
	tokens := auth.NewTokens(memdb.New())
	ctx := t.Context()
	first, secret, err := tokens.CreateProjectToken(ctx, "shop", ci.ScopeStatus, "badge", 0, ada)
	require.NoError(t, err)
	second, other, err := tokens.CreateProjectToken(ctx, "shop", ci.ScopeAll, "", 0, ada)
	require.NoError(t, err)
	require.NotEqual(t, secret, other)
	require.True(t, strings.HasPrefix(secret, auth.ProjectPrefix))
	got, err := tokens.ProjectToken(ctx, secret)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(first, got))
	all, err := tokens.ProjectTokens(ctx, "shop")
	require.NoError(t, err)
	for i := range all {
		require.Equal(t, all[i].ID == first.ID, !all[i].Used.IsZero())
		all[i].Used = time.Time{}
	}
	require.ElementsMatch(t, []ci.ProjectToken{first, second}, all, "those of one millisecond come in any order")
	require.ErrorIs(t, tokens.DeleteProjectToken(ctx, "other", first.ID, ada), ci.ErrNotFound, "another project's")
	require.NoError(t, tokens.DeleteProjectToken(ctx, "shop", first.ID, ada))
	_, err = tokens.ProjectToken(ctx, secret)
	require.ErrorIs(t, err, ci.ErrNotFound)
	for _, bad := range []string{"", secret[:len(secret)-1], other + "x", strings.Repeat("x", 1<<20), first.ID} {
		_, err := tokens.ProjectToken(ctx, bad)
		require.ErrorIs(t, err, ci.ErrNotFound)
	}
	_, err = tokens.PersonalToken(ctx, other)
	require.ErrorIs(t, err, ci.ErrNotFound, "a project's token is nobody's")
}

func TestTokens_Limits(t *testing.T) {
	tokens := auth.NewTokens(memdb.New())
	_, _, err := tokens.CreateProjectToken(t.Context(), "shop", "root", "", 0, ada)
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, _, err = tokens.CreateProjectToken(t.Context(), "shop", ci.ScopeAll, strings.Repeat("ü", 201), 0, ada)
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, _, err = tokens.CreatePersonalToken(t.Context(), ci.Actor{}, "", 0)
	require.ErrorIs(t, err, ci.ErrInvalid)
	for _, label := range []string{"a\nb", "\u202eadmin", "\x1b[31m"} {
		_, _, err = tokens.CreateProjectToken(t.Context(), "shop", ci.ScopeAll, label, 0, ada)
		require.ErrorIs(t, err, ci.ErrInvalid, label)
	}
	for range auth.MaxTokens {
		_, _, err := tokens.CreatePersonalToken(t.Context(), ada, "", 0)
		require.NoError(t, err)
	}
	_, _, err = tokens.CreatePersonalToken(t.Context(), ada, "", 0)
	require.ErrorIs(t, err, ci.ErrConflict)
}

// The file of the database does not hold the token.
func TestTokens_AreNotInTheDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db")
	db, err := sqldb.Open(t.Context(), file, sqldb.Config{})
	require.NoError(t, err)
	_, secret, err := auth.NewTokens(db).CreatePersonalToken(t.Context(), ada, "laptop", 0)
	require.NoError(t, err)
	whose, err := auth.NewTokens(db).PersonalToken(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, ada, whose.Owner)
	require.NoError(t, db.Close())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "laptop")
	require.NotContains(t, string(text), strings.TrimPrefix(secret, auth.PersonalPrefix))
}

func Example() {
	ctx := context.Background()
	tokens := auth.NewTokens(memdb.New())
	one, secret, err := tokens.CreateProjectToken(ctx, "p1", ci.ScopeStatus, "badge of the README", 0, ci.Actor{})
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := tokens.ProjectToken(ctx, secret)
	fmt.Println(again.ID == one.ID, again.Scope, err)
	// Output: true status <nil>
}

// A token of a project ends when it was said to, and says when it was last
// used.
func TestProjectToken_Expires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, ctx := auth.NewTokens(memdb.New()), t.Context()
		_, secret, err := tokens.CreateProjectToken(ctx, "p", ci.ScopeAll, "t", 24*time.Hour, ci.Actor{})
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		_, err = tokens.ProjectToken(ctx, secret)
		require.NoError(t, err)
		all, err := tokens.ProjectTokens(ctx, "p")
		require.NoError(t, err)
		require.Equal(t, time.Now().UTC().Truncate(time.Millisecond), all[0].Used)
		require.Equal(t, 22*time.Hour, all[0].Expires.Sub(all[0].Used))
		time.Sleep(30 * time.Minute)
		_, err = tokens.ProjectToken(ctx, secret)
		require.NoError(t, err)
		again, err := tokens.ProjectTokens(ctx, "p")
		require.NoError(t, err)
		require.Equal(t, all, again, "to within an hour")
		time.Sleep(22 * time.Hour)
		_, err = tokens.ProjectToken(ctx, secret)
		require.ErrorIs(t, err, ci.ErrNotFound)
		require.ErrorContains(t, err, "expired")
	})
}

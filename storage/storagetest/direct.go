package storagetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
)

// TestDirect tests files that go to a bucket by links, as HTTP requests, and a
// driver for them. open returns an empty bucket and the way to it, which must be
// ready. The suite closes the bucket.
func TestDirect(t *testing.T, open func(t *testing.T) (*blob.Bucket, storage.Direct)) {
	tests := []struct {
		name string
		test func(*testing.T, *directTest)
	}{
		{"SEC09_RoundTrip", directRoundTrip},
		{"SEC09_LinkIsBound", linkIsBound},
		{"SEC09_LinkExpires", linkExpires},
		{"SEC09_ReadLinkIsBound", readLinkIsBound},
		{"P9_NothingBeforeCommit", nothingBeforeCommit},
		{"P9_LateLinkChangesNothing", lateLink},
		{"P9_FirstCommitWins", firstCommitWins},
		{"P9_CommitRepeated", commitRepeated},
		{"SEC09_UploadOfAnother", uploadOfAnother},
		{"BadRequests", badUploads},
		{"Damaged", directDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bucket, direct := open(t)
			t.Cleanup(func() { require.NoError(t, bucket.Close()) })
			files := storage.NewFiles(bucket, storage.FilesConfig{Direct: direct})
			tt.test(t, &directTest{filesTest{bucket, files, t}, direct})
		})
	}
}

type directTest struct {
	filesTest
	direct storage.Direct
}

// parts returns the file of the data, and how it is sent in n parts.
func parts(f ci.File, data string, n int) (ci.File, ci.Upload) {
	f.Size, f.SHA256 = int64(len(data)), sum(data)
	u := ci.Upload{Part: int64((len(data) + n - 1) / n)}
	for i := range n {
		u.Sums = append(u.Sums, sum(part(data, u, i)))
	}
	return f, u
}

func part(data string, u ci.Upload, i int) string {
	return data[int64(i)*u.Part:][:u.Size(i, int64(len(data)))]
}

// follow does what a link is for and returns status, fields and body of the
// answer; 0 says that the connection broke, as it may when bytes are refused.
func (s *directTest) follow(method string, l ci.Link, body string) (int, http.Header, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, l.URL, strings.NewReader(body))
	require.NoError(s.t, err)
	for k, v := range l.Header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		require.NoError(s.t, ctx.Err())
		return 0, nil, ""
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, res.Header, string(got)
}

// begin begins a file and sends all parts.
func (s *directTest) begin(f ci.File, u ci.Upload, data string) ci.Upload {
	s.t.Helper()
	_, up, err := s.BeginFile(s.t.Context(), project, f, u)
	require.NoError(s.t, err)
	require.Len(s.t, up.Links, len(u.Sums))
	for i, l := range up.Links {
		code, _, body := s.follow(http.MethodPut, l, part(data, u, i))
		require.Equal(s.t, http.StatusOK, code, body)
	}
	return up
}

func (s *directTest) large() string { return strings.Repeat("0123456789abcdef", storage.MinDirect/16) }

func directRoundTrip(t *testing.T, s *directTest) {
	ctx := t.Context()
	require.Equal(t, int64(storage.MinDirect), s.DirectFrom())
	plain := storage.NewFiles(s.bucket, storage.FilesConfig{}) // as an older server, or where it is off
	for n, like := range map[int]ci.File{1: cache("v1/ü"), 2: artifact("out/a.bin"), 3: layer("0")} {
		data := strings.Repeat(s.large(), 2)
		f, u := parts(like, data, n)
		up := s.begin(f, u, data)
		kept, err := s.CommitFile(ctx, project, f, up)
		require.NoError(t, err)
		require.Equal(t, f.SHA256, kept.SHA256)
		require.False(t, kept.Stored.IsZero())
		got, err := s.get(like)
		require.NoError(t, err)
		require.True(t, got == data)
		r, err := plain.OpenFile(ctx, project, like)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.True(t, string(b) == data)
		for found, err := range plain.FindFiles(ctx, project, like) {
			require.NoError(t, err)
			require.Equal(t, kept, found)
		}
		is, l, err := s.LinkFile(ctx, project, like)
		require.NoError(t, err)
		require.Equal(t, kept, is)
		code, _, text := s.follow(http.MethodGet, l, "")
		require.Equal(t, http.StatusPartialContent, code)
		require.True(t, text == data, "the bytes alone, without what is behind them")
		_, err = plain.PutFile(ctx, project, like, strings.NewReader("other"))
		require.ErrorIs(t, err, ci.ErrConflict)
		require.NoError(t, plain.DeleteFile(ctx, project, like))
		_, err = s.get(like)
		require.ErrorIs(t, err, ci.ErrNotFound)
	}
	// What PutFile has stored is there by a link too, and what is small is not.
	put := s.put(cache("put"), s.large())
	_, l, err := s.LinkFile(ctx, project, put)
	require.NoError(t, err)
	_, _, text := s.follow(http.MethodGet, l, "")
	require.True(t, text == s.large())
	_, l, err = s.LinkFile(ctx, project, s.put(cache("small"), "small"))
	require.NoError(t, err)
	require.Zero(t, l)
	_, _, err = s.LinkFile(ctx, project, cache("none"))
	require.ErrorIs(t, err, ci.ErrNotFound)
	put.SHA256 = sum("another")
	_, _, err = s.LinkFile(ctx, project, put)
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, up, err := plain.BeginFile(ctx, project, put, ci.Upload{Part: put.Size, Sums: []string{put.SHA256}})
	require.ErrorIs(t, err, ci.ErrConflict)
	require.Zero(t, up)
}

// linkIsBound does with links what they are not for.
func linkIsBound(t *testing.T, s *directTest) {
	data := s.large()
	f, u := parts(cache("k"), data, 1)
	_, up, err := s.BeginFile(t.Context(), project, f, u)
	require.NoError(t, err)
	l := up.Links[0]
	with := func(from, to string) ci.Link {
		url := strings.Replace(l.URL, from, to, 1)
		require.NotEqual(t, l.URL, url)
		return ci.Link{URL: url, Header: l.Header}
	}
	header := func(value string) ci.Link {
		h := maps.Clone(l.Header)
		for k := range h {
			h[k] = value
		}
		return ci.Link{URL: l.URL, Header: h}
	}
	other := strings.Repeat("fedcba9876543210", len(data)/16)
	for name, c := range map[string]struct {
		method string
		link   ci.Link
		body   string
	}{
		"other bytes":           {"PUT", l, other},
		"more bytes":            {"PUT", l, data + "x"},
		"fewer bytes":           {"PUT", l, data[1:]},
		"no bytes":              {"PUT", l, ""},
		"without the sum":       {"PUT", ci.Link{URL: l.URL}, data},
		"another sum":           {"PUT", header("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), other},
		"another project's key": {"PUT", with(string(project), "0192-another"), data},
		"another part":          {"PUT", with("partNumber=1", "partNumber=2"), data},
		"for longer":            {"PUT", with("X-Amz-Expires=", "X-Amz-Expires=9"), data},
		"no upload":             {"PUT", with("uploadId=", "x="), data},
		"to read":               {"GET", l, ""},
		"to delete":             {"DELETE", l, ""},
	} {
		code, _, _ := s.follow(c.method, c.link, c.body)
		require.True(t, code == 0 || code >= 400, "%s: %d", name, code)
	}
	_, err = s.CommitFile(t.Context(), project, f, up)
	require.ErrorIs(t, err, ci.ErrInvalid, "none of it has arrived")
	code, _, body := s.follow("PUT", l, data)
	require.Equal(t, http.StatusOK, code, body)
	_, err = s.CommitFile(t.Context(), project, f, up)
	require.NoError(t, err)
	got, err := s.get(f)
	require.NoError(t, err)
	require.True(t, got == data)
}

func linkExpires(t *testing.T, s *directTest) {
	data := s.large()
	_, u := parts(cache("k"), data, 1)
	s.put(cache("there"), data)
	up, err := s.direct.BeginUpload(t.Context(), "k", int64(len(data)), u, time.Second)
	require.NoError(t, err)
	down, err := s.direct.LinkObject(t.Context(), "caches/"+string(project)+"/there", 100, time.Second)
	require.NoError(t, err)
	for method, l := range map[string]ci.Link{"PUT": up.Links[0], "GET": down} {
		require.Eventually(t, func() bool {
			code, _, _ := s.follow(method, l, map[string]string{"PUT": data}[method])
			return code == http.StatusForbidden
		}, time.Minute, 300*time.Millisecond, method)
	}
}

func readLinkIsBound(t *testing.T, s *directTest) {
	f := s.put(artifact("a"), s.large())
	s.put(artifact("b"), s.large())
	_, l, err := s.LinkFile(t.Context(), project, f)
	require.NoError(t, err)
	require.NotContains(t, l.URL, "..")
	url := strings.Replace(l.URL, "/a?", "/b?", 1)
	require.NotEqual(t, l.URL, url)
	for name, c := range map[string]struct {
		method string
		link   ci.Link
	}{
		"another file":       {"GET", ci.Link{URL: url, Header: l.Header}},
		"what is behind":     {"GET", ci.Link{URL: l.URL}},
		"more of it":         {"GET", ci.Link{URL: l.URL, Header: map[string]string{"Range": "bytes=0-99999999"}}},
		"to write":           {"PUT", l},
		"to delete":          {"DELETE", l},
		"to list the bucket": {"GET", ci.Link{URL: l.URL[:strings.Index(l.URL, "/artifacts/")+1] + "?list-type=2" + l.URL[strings.Index(l.URL, "?")+1:]}},
	} {
		code, _, _ := s.follow(c.method, c.link, "")
		require.True(t, code == 0 || code >= 400, "%s: %d", name, code)
	}
	code, _, text := s.follow("GET", l, "")
	require.Equal(t, http.StatusPartialContent, code)
	require.True(t, text == s.large())
}

func nothingBeforeCommit(t *testing.T, s *directTest) {
	data := strings.Repeat(s.large(), 2)
	f, u := parts(artifact("a"), data, 2)
	_, up, err := s.BeginFile(t.Context(), project, f, u)
	require.NoError(t, err)
	absent := func() {
		t.Helper()
		_, err := s.get(f)
		require.ErrorIs(t, err, ci.ErrNotFound)
		require.Empty(t, s.find(artifact("")))
		_, _, err = s.LinkFile(t.Context(), project, artifact("a"))
		require.ErrorIs(t, err, ci.ErrNotFound)
	}
	absent()
	for _, i := range []int{1, 0} { // out of order
		_, err = s.CommitFile(t.Context(), project, f, up)
		require.ErrorIs(t, err, ci.ErrInvalid)
		absent()
		code, _, _ := s.follow("PUT", up.Links[i], part(data, u, i))
		require.Equal(t, http.StatusOK, code)
	}
	swapped, longer, lie := up, f, f
	swapped.Sums = []string{up.Sums[1], sum("x")}
	longer.Size--
	lie.SHA256 = sum("lie")
	_, err = s.CommitFile(t.Context(), project, f, swapped)
	require.ErrorIs(t, err, ci.ErrInvalid, "other parts than were signed")
	_, err = s.CommitFile(t.Context(), project, longer, up)
	require.ErrorIs(t, err, ci.ErrInvalid, "another size")
	absent()
	_, err = s.CommitFile(t.Context(), project, f, up)
	require.NoError(t, err)
	got, err := s.get(f)
	require.NoError(t, err)
	require.True(t, got == data)
	_, err = s.CommitFile(t.Context(), project, lie, up)
	require.ErrorIs(t, err, ci.ErrConflict)
}

// lateLink sends to a link when its file is there already.
func lateLink(t *testing.T, s *directTest) {
	data := s.large()
	f, u := parts(cache("k"), data, 1)
	up := s.begin(f, u, data)
	_, err := s.CommitFile(t.Context(), project, f, up)
	require.NoError(t, err)
	for _, body := range []string{data, strings.ToUpper(data)} {
		code, _, _ := s.follow("PUT", up.Links[0], body)
		require.True(t, code == 0 || code >= 400, code)
	}
	got, err := s.get(f)
	require.NoError(t, err)
	require.True(t, got == data)
	require.NoError(t, s.DeleteFile(t.Context(), project, f))
	code, _, _ := s.follow("PUT", up.Links[0], data)
	require.True(t, code == 0 || code >= 400, code)
	_, err = s.CommitFile(t.Context(), project, f, up)
	require.ErrorIs(t, err, ci.ErrInvalid, "what was removed does not come back")
	require.ErrorContains(t, err, "send the file again")
}

// firstCommitWins lets several commit other bytes under one name, beside one who
// puts them through us.
func firstCommitWins(t *testing.T, s *directTest) {
	const writers = 6
	files, ups := make([]ci.File, writers), make([]ci.Upload, writers)
	datas := make([]string, writers+1)
	for i := range datas {
		datas[i] = strings.Repeat(string(rune('a'+i)), storage.MinDirect)
	}
	for i := range writers {
		f, u := parts(cache("k"), datas[i], 1)
		files[i], ups[i] = f, s.begin(f, u, datas[i])
	}
	got, errs := make([]ci.File, writers+1), make([]error, writers+1)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			if i == writers {
				got[i], errs[i] = s.PutFile(t.Context(), project, cache("k"), bytes.NewReader([]byte(datas[i])))
				return
			}
			got[i], errs[i] = s.CommitFile(t.Context(), project, files[i], ups[i])
		})
	}
	all.Wait()
	won := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, won, "two have won")
			won = i
			continue
		}
		if !errors.Is(err, ci.ErrConflict) { // the bucket said no before it had the other: ask again
			got[i], err = s.PutFile(t.Context(), project, cache("k"), strings.NewReader(datas[i]))
		}
		require.ErrorIs(t, err, ci.ErrConflict)
	}
	require.GreaterOrEqual(t, won, 0)
	text, err := s.get(cache("k"))
	require.NoError(t, err)
	require.True(t, text == datas[won])
	for i := range got {
		require.Equal(t, sum(datas[won]), got[i].SHA256, "who loses learns what is there")
	}
}

func commitRepeated(t *testing.T, s *directTest) {
	data := s.large()
	for _, like := range []ci.File{cache("k"), artifact("a"), layer("0")} {
		f, u := parts(like, data, 1)
		up := s.begin(f, u, data)
		first, err := s.CommitFile(t.Context(), project, f, up)
		require.NoError(t, err)
		again, err := s.CommitFile(t.Context(), project, f, up)
		require.NoError(t, err, "the reply was lost")
		require.Equal(t, first, again)
		was, up, err := s.BeginFile(t.Context(), project, f, u)
		require.Equal(t, first, was)
		require.Zero(t, up)
		if like.Kind == ci.FileCache {
			require.ErrorIs(t, err, ci.ErrConflict)
		} else {
			require.NoError(t, err, "the same bytes again are no conflict")
		}
		f, u = parts(like, strings.ToUpper(data), 1)
		was, _, err = s.BeginFile(t.Context(), project, f, u)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Equal(t, first, was)
	}
}

func uploadOfAnother(t *testing.T, s *directTest) {
	data := s.large()
	f, u := parts(cache("k"), data, 1)
	up := s.begin(f, u, data)
	_, err := s.CommitFile(t.Context(), "0192-another", f, up)
	require.ErrorIs(t, err, ci.ErrInvalid)
	for _, other := range []ci.File{cache("k2"), artifact("k"), layer("0")} {
		g, _ := parts(other, data, 1)
		_, err = s.CommitFile(t.Context(), project, g, up)
		require.ErrorIs(t, err, ci.ErrInvalid, "%v", other)
	}
	for _, id := range []string{"", "x", "../../" + up.ID, up.ID + "\x00", strings.Repeat("x", 5<<10)} {
		bad := up
		bad.ID = id
		_, err = s.CommitFile(t.Context(), project, f, bad)
		require.Error(t, err, "%.20q", id)
	}
	_, err = s.CommitFile(t.Context(), project, f, up)
	require.NoError(t, err, "none of it did any harm")
}

func badUploads(t *testing.T, s *directTest) {
	data := s.large()
	good, u := parts(cache("k"), data, 1)
	small := storage.NewFiles(s.bucket, storage.FilesConfig{Direct: s.direct, MaxSize: 1 << 20})
	_, _, err := small.BeginFile(t.Context(), project, good, u)
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, err = small.CommitFile(t.Context(), project, good, u)
	require.ErrorIs(t, err, ci.ErrInvalid)
	for name, change := range map[string]func(f *ci.File, u *ci.Upload){
		"no size":       func(f *ci.File, _ *ci.Upload) { f.Size = 0 },
		"negative":      func(f *ci.File, _ *ci.Upload) { f.Size = -1 },
		"no sum":        func(f *ci.File, _ *ci.Upload) { f.SHA256 = "" },
		"upper case":    func(f *ci.File, _ *ci.Upload) { f.SHA256 = strings.ToUpper(f.SHA256) },
		"bad name":      func(f *ci.File, _ *ci.Upload) { f.Kind, f.Task, f.Name = ci.FileArtifact, "t.0", "../x" },
		"no name":       func(f *ci.File, _ *ci.Upload) { f.Name = "" },
		"no kind":       func(f *ci.File, _ *ci.Upload) { f.Kind = "" },
		"no parts":      func(_ *ci.File, u *ci.Upload) { u.Sums = nil },
		"a part more":   func(_ *ci.File, u *ci.Upload) { u.Sums = append(u.Sums, u.Sums[0]) },
		"part too tiny": func(_ *ci.File, u *ci.Upload) { u.Part = 1 },
		"part too huge": func(_ *ci.File, u *ci.Upload) { u.Part = 6 << 30 },
		"part negative": func(_ *ci.File, u *ci.Upload) { u.Part = -5 << 20 },
		"rest too tiny": func(f *ci.File, u *ci.Upload) { u.Part, u.Sums = f.Size-1, append(u.Sums, u.Sums[0]) },
		"no sum of one": func(_ *ci.File, u *ci.Upload) { u.Sums = []string{"x"} },
		"too many": func(f *ci.File, u *ci.Upload) {
			f.Size, u.Part, u.Sums = 10_000*(5<<20), 5<<20, make([]string, 10_000)
		},
	} {
		f, v := good, ci.Upload{Part: u.Part, Sums: []string{u.Sums[0]}}
		change(&f, &v)
		_, up, err := s.BeginFile(t.Context(), project, f, v)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
		require.Zero(t, up)
		_, err = s.CommitFile(t.Context(), project, f, v)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = s.BeginFile(canceled, project, good, u)
	require.Error(t, err)
}

// directDamaged stores anew what is there and damaged.
func directDamaged(t *testing.T, s *directTest) {
	data := s.large()
	f, u := parts(cache("k"), data, 1)
	require.NoError(t, s.bucket.WriteAll(t.Context(), "caches/"+string(project)+"/k", []byte("no file"), nil))
	_, _, err := s.LinkFile(t.Context(), project, cache("k"))
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = s.CommitFile(t.Context(), project, f, s.begin(f, u, data))
	require.NoError(t, err)
	got, err := s.get(f)
	require.NoError(t, err)
	require.True(t, got == data)
}

package forgetest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

func raw(text []byte) json.RawMessage { return text }

// routes lists the calls that the fake answers.
func (g *GitHub) routes() {
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { problem(w, http.StatusNotFound, "Not Found") })
	g.mux.HandleFunc("GET /api/v3/user", g.getUser)
	g.mux.HandleFunc("GET /api/v3/repositories/{id}", g.getByID)
	for pattern, call := range map[string]struct {
		rights string // "" is whoever can see it
		do     func(r *Repo, w http.ResponseWriter, req *http.Request)
	}{
		"GET ":                                       {"", (*Repo).get},
		"GET /contents/{path...}":                    {"", (*Repo).getContents},
		"GET /commits/{ref}":                         {"", (*Repo).getCommit},
		"GET /commits/{ref}/statuses":                {"", (*Repo).getStatuses},
		"GET /git/ref/{ref...}":                      {"", (*Repo).getRef},
		"GET /git/tags/{sha}":                        {"", (*Repo).getTag},
		"GET /branches":                              {"", (*Repo).listBranches},
		"GET /tags":                                  {"", (*Repo).listTags},
		"GET /pulls":                                 {"", (*Repo).listPulls},
		"GET /pulls/{number}":                        {"", (*Repo).getPull},
		"POST /statuses/{sha}":                       {"push", (*Repo).postStatus},
		"GET /hooks":                                 {"admin", (*Repo).listHooks},
		"POST /hooks":                                {"admin", (*Repo).postHook},
		"PATCH /hooks/{hook}":                        {"admin", (*Repo).patchHook},
		"DELETE /hooks/{hook}":                       {"admin", (*Repo).deleteHook},
		"GET /hooks/{hook}/deliveries":               {"admin", (*Repo).listDeliveries},
		"GET /hooks/{hook}/deliveries/{d}":           {"admin", (*Repo).getDelivery},
		"POST /hooks/{hook}/deliveries/{d}/attempts": {"admin", (*Repo).postAttempt},
		"GET /keys":                                  {"admin", (*Repo).listKeys},
		"POST /keys":                                 {"admin", (*Repo).postKey},
		"DELETE /keys/{key}":                         {"admin", (*Repo).deleteKey},
	} {
		method, rest, _ := strings.Cut(pattern, " ")
		g.mux.HandleFunc(method+" /api/v3/repos/{owner}/{repo}"+rest, func(w http.ResponseWriter, req *http.Request) {
			r, who := g.find(req.PathValue("owner")+"/"+req.PathValue("repo")), g.who(req)
			switch {
			case r == nil || !r.canSee(who), call.rights == "admin" && who.rights != "admin", call.rights == "push" && who.rights != "admin" && who.rights != "push":
				problem(w, http.StatusNotFound, "Not Found") // GitHub does not tell these apart
			case !strings.EqualFold(r.FullName(), req.PathValue("owner")+"/"+req.PathValue("repo")) && req.Method == http.MethodGet && rest == "":
				w.Header().Set("Location", fmt.Sprintf("%s/api/v3/repositories/%d", g.URL(), r.id))
				answer(w, http.StatusMovedPermanently, object{"message": "Moved Permanently", "url": fmt.Sprintf("%s/api/v3/repositories/%d", g.URL(), r.id), "documentation_url": "https://docs.github.com/rest"})
			default:
				call.do(r, w, req)
			}
		})
	}
}

func (g *GitHub) getUser(w http.ResponseWriter, r *http.Request) {
	who := g.who(r)
	if who.login == "" {
		problem(w, http.StatusUnauthorized, "Requires authentication")
		return
	}
	answer(w, http.StatusOK, g.meJSON(who.login))
}

func (g *GitHub) getByID(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	g.mu.Lock()
	repo := g.repos[id]
	g.mu.Unlock()
	if repo == nil || !repo.canSee(g.who(r)) {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	answer(w, http.StatusOK, repo.repoJSON(g.who(r)))
}

func (r *Repo) get(w http.ResponseWriter, req *http.Request) {
	answer(w, http.StatusOK, r.repoJSON(r.g.who(req)))
}

// getContents answers a file as it is or in JSON, and lists a folder.
func (r *Repo) getContents(w http.ResponseWriter, req *http.Request) {
	name, rev := req.PathValue("path"), req.URL.Query().Get("ref")
	if rev == "" {
		rev = r.branch
	}
	c, ok := r.commit(rev)
	if !ok {
		problem(w, http.StatusNotFound, "No commit found for the ref "+rev)
		return
	}
	out, _ := r.look(c.sha+":"+name+"\n", "cat-file", "--batch", "--follow-symlinks")
	head, body, _ := strings.Cut(out, "\n")
	f := strings.Fields(head)
	switch {
	case len(f) == 3 && f[1] == "blob":
		size, _ := strconv.Atoi(f[2])
		body = body[:min(size, len(body))]
		if strings.Contains(req.Header.Get("Accept"), "raw") {
			w.Header().Set("Content-Type", "application/vnd.github.raw+json; charset=utf-8")
			_, _ = w.Write([]byte(body))
			return
		}
		file := r.contentJSON("file", name, f[0], size)
		file["encoding"], file["content"] = "base64", base64.StdEncoding.EncodeToString([]byte(body))
		answer(w, http.StatusOK, file)
	case len(f) == 3 && f[1] == "tree":
		list := []any{}
		out, _ := r.look("", "ls-tree", "-z", f[0])
		for entry := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
			meta, base, _ := strings.Cut(entry, "\t")
			if m := strings.Fields(meta); len(m) == 3 {
				kind := map[string]string{"tree": "dir", "blob": "file", "commit": "submodule"}[m[1]]
				list = append(list, r.contentJSON(kind, path.Join(name, base), m[2], 0))
			}
		}
		answer(w, http.StatusOK, list)
	default:
		problem(w, http.StatusNotFound, "Not Found")
	}
}

func (r *Repo) contentJSON(kind, name, sha string, size int) object {
	self := r.url("/contents/%s", name)
	return object{
		"type": kind, "name": path.Base(name), "path": name, "sha": sha, "size": size, "url": self, "git_url": r.url("/git/blobs/%s", sha),
		"html_url": r.page("/blob/%s", name), "download_url": r.page("/raw/%s", name),
		"_links": object{"self": self, "git": r.url("/git/blobs/%s", sha), "html": r.page("/blob/%s", name)},
	}
}

func (r *Repo) getCommit(w http.ResponseWriter, req *http.Request) {
	c, ok := r.commit(req.PathValue("ref"))
	if !ok {
		problem(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+req.PathValue("ref"))
		return
	}
	answer(w, http.StatusOK, r.commitJSON(c))
}

func (r *Repo) getRef(w http.ResponseWriter, req *http.Request) {
	name := "refs/" + req.PathValue("ref")
	for _, ref := range r.refs(name) {
		if ref.name == name {
			answer(w, http.StatusOK, object{
				"ref": ref.name, "node_id": "REF_" + ref.sha, "url": r.url("/git/%s", ref.name),
				"object": object{"type": ref.kind, "sha": ref.sha, "url": r.url("/git/%ss/%s", ref.kind, ref.sha)},
			})
			return
		}
	}
	problem(w, http.StatusNotFound, "Not Found")
}

func (r *Repo) getTag(w http.ResponseWriter, req *http.Request) {
	sha := req.PathValue("sha")
	out, ok := r.look("", "cat-file", "tag", sha)
	if !ok {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	head, message, _ := strings.Cut(out, "\n\n")
	field := map[string]string{}
	for line := range strings.Lines(head) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		field[k] = v
	}
	answer(w, http.StatusOK, object{
		"node_id": "TAG_" + sha, "tag": field["tag"], "sha": sha, "url": r.url("/git/tags/%s", sha), "message": message,
		"tagger": object{"name": "Ada", "email": "ada@example.com", "date": stamp(r.made)},
		"object": object{"type": field["type"], "sha": field["object"], "url": r.url("/git/%ss/%s", field["type"], field["object"])},
	})
}

func (r *Repo) listBranches(w http.ResponseWriter, req *http.Request) {
	var list []any
	for _, ref := range r.refs("refs/heads") {
		list = append(list, object{
			"name": strings.TrimPrefix(ref.name, "refs/heads/"), "protected": false,
			"commit": object{"sha": ref.sha, "url": r.url("/commits/%s", ref.sha)},
		})
	}
	page(w, req, list)
}

func (r *Repo) listTags(w http.ResponseWriter, req *http.Request) {
	var list []any
	for _, ref := range r.refs("refs/tags") {
		name := strings.TrimPrefix(ref.name, "refs/tags/")
		list = append(list, object{
			"name": name, "node_id": "TAG_" + ref.sha, "commit": object{"sha": ref.commit, "url": r.url("/commits/%s", ref.commit)},
			"zipball_url": r.page("/zipball/%s", name), "tarball_url": r.page("/tarball/%s", name),
		})
	}
	page(w, req, list)
}

func (r *Repo) listPulls(w http.ResponseWriter, req *http.Request) {
	state, head := req.URL.Query().Get("state"), req.URL.Query().Get("head")
	if state == "" {
		state = "open"
	}
	var found []*pull
	r.set(func() {
		for _, p := range r.pulls {
			if (state == "all" || p.state == state) && (head == "" || head == p.head.owner+":"+p.branch) {
				found = append(found, p)
			}
		}
	})
	var list []any
	for _, p := range found {
		list = append(list, r.pullJSON(p, false))
	}
	page(w, req, list)
}

func (r *Repo) getPull(w http.ResponseWriter, req *http.Request) {
	number, _ := strconv.Atoi(req.PathValue("number"))
	if p := r.findPull(number); p != nil {
		answer(w, http.StatusOK, r.pullJSON(p, true))
		return
	}
	problem(w, http.StatusNotFound, "Not Found")
}

func (r *Repo) getStatuses(w http.ResponseWriter, req *http.Request) {
	var list []any
	if c, ok := r.commit(req.PathValue("ref")); ok {
		for _, s := range r.Statuses(c.sha) {
			list = append([]any{r.statusJSON(s)}, list...)
		}
	}
	page(w, req, list)
}

func (r *Repo) postStatus(w http.ResponseWriter, req *http.Request) {
	var in struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	c, ok := r.commit(req.PathValue("sha"))
	err := json.NewDecoder(req.Body).Decode(&in)
	known := map[string]bool{"pending": true, "success": true, "failure": true, "error": true}
	switch {
	case err != nil:
		problem(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	case !ok || c.sha != req.PathValue("sha"):
		problem(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+req.PathValue("sha"))
		return
	case !known[in.State] || len([]rune(in.Description)) > 140:
		problem(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	s := Status{SHA: c.sha, Context: in.Context, State: in.State, Description: in.Description, TargetURL: in.TargetURL, id: r.g.id(), made: time.Now().UTC()}
	same := 0
	for _, old := range r.Statuses(c.sha) {
		if old.Context == s.Context {
			same++
		}
	}
	if same >= 1000 {
		problem(w, http.StatusUnprocessableEntity, "This SHA and context has reached the maximum number of statuses.")
		return
	}
	r.set(func() { r.statuses = append(r.statuses, s) })
	answer(w, http.StatusCreated, r.statusJSON(s))
}

// page answers a part of a list, with the links that lead to the others.
func page(w http.ResponseWriter, req *http.Request, list []any) {
	size, _ := strconv.Atoi(req.URL.Query().Get("per_page"))
	number, _ := strconv.Atoi(req.URL.Query().Get("page"))
	if size <= 0 || size > 100 {
		size = 30
	}
	start := min(max(number-1, 0)*size, len(list))
	end := min(start+size, len(list))
	if end < len(list) {
		next := *req.URL
		q := next.Query()
		q.Set("page", strconv.Itoa(max(number, 1)+1))
		next.RawQuery = q.Encode()
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next.String()))
	}
	answer(w, http.StatusOK, append([]any{}, list[start:end]...))
}

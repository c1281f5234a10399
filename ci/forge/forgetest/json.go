package forgetest

import (
	"fmt"
	"strings"
	"time"
)

// userJSON is an account.
func (g *GitHub) userJSON(login string) object {
	api, web := g.URL()+"/api/v3/users/"+login, g.URL()+"/"+login
	number := int64(0)
	for _, c := range login {
		number = number*31%1_000_003 + int64(c)
	}
	return object{
		"login": login, "id": number, "node_id": fmt.Sprintf("U_%d", number), "avatar_url": web + ".png", "gravatar_id": "", "url": api,
		"html_url": web, "followers_url": api + "/followers", "following_url": api + "/following{/other_user}",
		"gists_url": api + "/gists{/gist_id}", "starred_url": api + "/starred{/owner}{/repo}", "subscriptions_url": api + "/subscriptions",
		"organizations_url": api + "/orgs", "repos_url": api + "/repos", "events_url": api + "/events{/privacy}",
		"received_events_url": api + "/received_events", "type": "User", "site_admin": false,
	}
}

// meJSON is the account of the token.
func (g *GitHub) meJSON(login string) object {
	me := g.userJSON(login)
	for _, k := range []string{"bio", "blog", "company", "email", "hireable", "location", "name"} {
		me[k] = nil
	}
	for _, k := range []string{"collaborators", "disk_usage", "followers", "following", "owned_private_repos", "private_gists", "public_gists", "public_repos", "total_private_repos"} {
		me[k] = 0
	}
	me["two_factor_authentication"], me["created_at"], me["updated_at"] = true, stamp(time.Unix(0, 0)), stamp(time.Unix(0, 0))
	return me
}

// repoURLs are the addresses that a repository tells of itself, by what stands
// behind its own.
func repoURLs() map[string]string {
	return map[string]string{
		"url": "", "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
		"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
		"commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
		"contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
		"forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
		"hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
		"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages",
		"merges_url": "/merges", "milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}",
		"pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
		"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
	}
}

// repoJSON is a repository as a user sees it.
func (r *Repo) repoJSON(u user) object {
	o := r.plainJSON()
	o["permissions"] = object{
		"admin": u.rights == "admin", "maintain": u.rights == "admin", "push": u.rights == "admin" || u.rights == "push",
		"triage": u.rights != "", "pull": u.rights != "" || !r.isPrivate(),
	}
	o["network_count"], o["subscribers_count"], o["allow_auto_merge"] = 0, 0, false
	return o
}

// hookRepoJSON is a repository as webhooks tell of it.
func (r *Repo) hookRepoJSON() object {
	o := r.plainJSON()
	o["master_branch"], o["stargazers"] = r.branch, 0
	return o
}

func (r *Repo) plainJSON() object {
	full := r.FullName()
	owner, name, _ := strings.Cut(full, "/")
	o := object{
		"id": r.id, "node_id": fmt.Sprintf("R_%d", r.id), "name": name, "full_name": full, "owner": r.g.userJSON(owner), "private": r.isPrivate(),
		"html_url": r.page(""), "description": nil, "fork": r.fork != nil, "created_at": stamp(r.made), "updated_at": stamp(r.made), "pushed_at": stamp(r.made),
		"git_url": "git://ghe.example.com/" + full + ".git", "ssh_url": "git@ghe.example.com:" + full + ".git", "clone_url": r.page(".git"), "svn_url": r.page(""),
		"homepage": nil, "size": 1, "stargazers_count": 0, "watchers_count": 0, "language": nil, "forks_count": 0, "mirror_url": nil,
		"archived": false, "disabled": false, "open_issues_count": 0, "license": nil, "forks": 0, "open_issues": 0, "watchers": 0,
		"default_branch": r.branch, "is_template": false, "topics": []string{}, "visibility": "public",
	}
	for _, k := range []string{"issues", "projects", "downloads", "wiki", "pages", "discussions"} {
		o["has_"+k] = false
	}
	for k, path := range repoURLs() {
		o[k] = r.url("") + path
	}
	return o
}

// commitJSON is a commit.
func (r *Repo) commitJSON(c gitCommit) object {
	who := object{"name": c.author, "email": c.email, "date": c.date}
	parents := []any{}
	for _, p := range c.parents {
		parents = append(parents, object{"sha": p, "url": r.url("/commits/%s", p), "html_url": r.page("/commit/%s", p)})
	}
	return object{
		"sha": c.sha, "node_id": "C_" + c.sha, "url": r.url("/commits/%s", c.sha), "html_url": r.page("/commit/%s", c.sha),
		"comments_url": r.url("/commits/%s/comments", c.sha), "author": nil, "committer": nil, "parents": parents,
		"commit": object{
			"author": who, "committer": who, "message": c.message, "comment_count": 0, "url": r.url("/git/commits/%s", c.sha),
			"tree":         object{"sha": c.tree, "url": r.url("/git/trees/%s", c.tree)},
			"verification": object{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil},
		},
		"stats": object{"additions": 0, "deletions": 0, "total": 0}, "files": []any{},
	}
}

// pullJSON is a pull request; full has what only a single one tells.
func (r *Repo) pullJSON(p *pull, full bool) object {
	number, api := p.number, r.url("/pulls/%d", p.number)
	side := func(repo *Repo, ref, sha string) object {
		owner, _, _ := strings.Cut(repo.FullName(), "/")
		return object{"label": owner + ":" + ref, "ref": ref, "sha": sha, "user": r.g.userJSON(owner), "repo": repo.plainJSON()}
	}
	link := func(s string) object { return object{"href": s} }
	base := r.at("refs/heads/" + p.target)
	owner, _, _ := strings.Cut(p.head.FullName(), "/")
	o := object{
		"id": p.id, "node_id": fmt.Sprintf("PR_%d", p.id), "number": number, "state": p.state, "locked": false, "title": p.title, "body": nil,
		"url": api, "html_url": r.page("/pull/%d", number), "diff_url": r.page("/pull/%d.diff", number), "patch_url": r.page("/pull/%d.patch", number),
		"issue_url": r.url("/issues/%d", number), "commits_url": api + "/commits", "review_comments_url": api + "/comments",
		"review_comment_url": r.url("/pulls/comments{/number}"), "comments_url": r.url("/issues/%d/comments", number), "statuses_url": r.url("/statuses/%s", p.sha),
		"user": r.g.userJSON(owner), "created_at": stamp(p.made), "updated_at": stamp(p.made), "closed_at": nil, "merged_at": nil,
		"merge_commit_sha": nil, "assignee": nil, "assignees": []any{}, "requested_reviewers": []any{}, "requested_teams": []any{},
		"labels": []any{}, "milestone": nil, "draft": false, "author_association": "CONTRIBUTOR", "auto_merge": nil,
		"head": side(p.head, p.branch, p.sha), "base": side(r, p.target, base),
		"_links": object{
			"self": link(api), "html": link(r.page("/pull/%d", number)), "issue": link(r.url("/issues/%d", number)), "commits": link(api + "/commits"),
			"comments": link(r.url("/issues/%d/comments", number)), "review_comments": link(api + "/comments"),
			"review_comment": link(r.url("/pulls/comments{/number}")), "statuses": link(r.url("/statuses/%s", p.sha)),
		},
	}
	if full {
		for k, v := range (object{
			"merged": false, "mergeable": nil, "rebaseable": nil, "mergeable_state": "unknown", "merged_by": nil, "comments": 0,
			"review_comments": 0, "maintainer_can_modify": false, "commits": 1, "additions": 1, "deletions": 0, "changed_files": 1,
		}) {
			o[k] = v
		}
	}
	return o
}

func (r *Repo) hookJSON(h *hook) object {
	config := object{"url": h.url, "content_type": h.format, "insecure_ssl": "0"}
	if h.secret != "" {
		config["secret"] = "********"
	}
	api := r.url("/hooks/%d", h.id)
	return object{
		"type": "Repository", "id": h.id, "name": "web", "active": h.active, "events": h.events, "config": config, "url": api,
		"created_at": stamp(h.made), "updated_at": stamp(h.made), "test_url": api + "/test", "ping_url": api + "/pings",
		"deliveries_url": api + "/deliveries", "last_response": object{"code": nil, "status": "unused", "message": nil},
	}
}

func (r *Repo) deliveryJSON(d *Delivery, full bool) object {
	status := "OK"
	if d.Status >= 300 {
		status = "Invalid HTTP Response: " + fmt.Sprint(d.Status)
	}
	o := object{
		"id": d.ID, "guid": d.GUID, "delivered_at": stamp(d.Time), "redelivery": d.Redelivery, "duration": 0.01, "status": status,
		"status_code": d.Status, "event": d.Event, "action": nil, "installation_id": nil, "repository_id": r.id, "throttled_at": nil,
	}
	if d.Action != "" {
		o["action"] = d.Action
	}
	if full {
		o["url"] = ""
		o["request"] = object{"headers": d.headers, "payload": raw(d.Payload)}
		o["response"] = object{"headers": object{}, "payload": d.Answer}
	}
	return o
}

func (r *Repo) keyJSON(k Key) object {
	return object{
		"id": k.ID, "key": k.Key, "url": r.url("/keys/%d", k.ID), "title": k.Title, "verified": true, "created_at": stamp(k.made),
		"read_only": k.ReadOnly, "added_by": "rondo", "last_used": nil, "enabled": true,
	}
}

func (r *Repo) statusJSON(s Status) object {
	o := object{
		"url": r.url("/statuses/%s", s.SHA), "avatar_url": nil, "id": s.id, "node_id": fmt.Sprintf("SC_%d", s.id), "state": s.State,
		"description": s.Description, "target_url": nil, "context": s.Context, "created_at": stamp(s.made), "updated_at": stamp(s.made),
		"creator": r.g.userJSON("rondo"),
	}
	if s.TargetURL != "" {
		o["target_url"] = s.TargetURL
	}
	return o
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

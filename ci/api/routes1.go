package api

import "github.com/rondo-ci/rondo/ci"

// The places of v1.1 in the address. The slug is one segment and what follows
// a build's number is below job when a request comes here, see withSlug.
const (
	at1    = "/project/{project_slug}"
	build1 = at1 + "/job/{job_number}"
	shown1 = at1 + "/{job_number}"
)

var listQuery = []string{
	"limit: how many builds, 30 if absent, 100 at most", "offset: how many builds to skip",
	"filter: completed, successful, failed or running", "shallow: true leaves out what costs a further look",
}

// routes1 is the table of v1.1.
func routes1() []route {
	var all []route
	for _, table := range [][]route{userRoutes1(), buildRoutes1(), triggerRoutes1(), secretRoutes1(), settingRoutes1()} {
		all = append(all, table...)
	}
	return all
}

func userRoutes1() []route {
	return []route{
		{
			method: "GET", path: "/openapi.json", summary: "This description", tag: "Meta",
			status: 200, open: true, serve: (*call).openAPI1,
		}, {
			method: "GET", path: "/me", summary: "Who the token belongs to", tag: "User",
			status: 200, response: user1{}, serve: (*call).me1,
		}, {
			method: "GET", path: "/projects", summary: "The followed projects", tag: "Project",
			query:  []string{"shallow: true leaves the branches out"},
			status: 200, response: []project1{}, scope: ci.ScopeBuilds, serve: (*call).projects1,
		}, {
			method: "POST", path: at1 + "/follow", summary: "Build a repository from now on", tag: "Project",
			status: 200, response: follow1{}, serve: (*call).followOld,
		}, {
			method: "POST", path: at1 + "/unfollow", summary: "Build it no more", tag: "Project",
			status: 200, response: follow1{}, serve: (*call).unfollowOld,
		}, {
			method: "POST", path: at1 + "/enable", summary: "The same as follow", tag: "Project",
			status: 200, response: follow1{}, serve: (*call).followOld,
		}, {
			method: "DELETE", path: at1 + "/enable", summary: "The same as unfollow", tag: "Project",
			status: 200, response: follow1{}, serve: (*call).unfollowOld,
		},
	}
}

func buildRoutes1() []route {
	return []route{
		{
			method: "GET", path: "/recent-builds", summary: "Builds of all projects, newest first", tag: "Build",
			query: listQuery, status: 200, response: []build{}, scope: ci.ScopeBuilds, serve: (*call).recentBuilds,
		}, {
			method: "GET", path: at1, summary: "Builds of a project, newest first", tag: "Build",
			query: listQuery, status: 200, response: []build{}, scope: ci.ScopeBuilds, serve: (*call).projectBuilds,
		}, {
			method: "GET", path: at1 + "/tree/{branch...}", summary: "Builds of a branch, newest first", tag: "Build",
			query: listQuery, status: 200, response: []build{}, scope: ci.ScopeBuilds, serve: (*call).projectBuilds,
		}, {
			method: "GET", path: build1, shown: shown1, summary: "A build with its steps", tag: "Build",
			status: 200, response: buildDetails{}, scope: ci.ScopeBuilds, serve: (*call).getBuild,
		}, {
			method: "GET", path: build1 + "/tests", shown: shown1 + "/tests", summary: "The test results of a build", tag: "Build",
			status: 200, response: tests1{}, scope: ci.ScopeBuilds, serve: (*call).tests1,
		}, {
			method: "GET", path: build1 + "/artifacts", shown: shown1 + "/artifacts", summary: "The artifacts of a build", tag: "Build",
			status: 200, response: []artifact1{}, scope: ci.ScopeBuilds, serve: (*call).artifacts1,
		}, {
			method: "GET", path: build1 + "/artifacts/{node}/{path...}", shown: shown1 + "/artifacts/{node}/{path...}",
			summary: "The bytes of an artifact", tag: "Build", status: 200, scope: ci.ScopeBuilds, serve: (*call).openArtifact,
		}, {
			method: "GET", path: at1 + "/latest/artifacts", summary: "The artifacts of the newest build that has some", tag: "Build",
			query:  []string{"branch: only of a branch", "filter: completed (if absent), successful, failed or running"},
			status: 200, response: []artifact1{}, scope: ci.ScopeBuilds, serve: (*call).latestArtifacts,
		}, {
			method: "GET", path: "/rondo/output/{job_id}/{node}/{epoch}/{step}",
			summary: "The output of a step. The address is signed and needs no token", tag: "Rondo",
			query:  []string{"expires: until when, in seconds since 1970", "signature: of all the rest"},
			status: 200, response: []outputMessage{}, open: true, serve: (*call).signedOutput,
		},
	}
}

func triggerRoutes1() []route {
	all := ci.ScopeAll
	return []route{
		{
			method: "POST", path: build1 + "/retry", shown: shown1 + "/retry", summary: "Run a build again", tag: "Build",
			status: 200, response: build{}, scope: all, serve: (*call).retryBuild,
		}, {
			method: "POST", path: build1 + "/cancel", shown: shown1 + "/cancel", summary: "Cancel a build", tag: "Build",
			status: 200, response: build{}, scope: all, serve: (*call).cancelBuild,
		}, {
			method: "POST", path: build1 + "/ssh", shown: shown1 + "/ssh", summary: "Run a build again with SSH: not offered, 400", tag: "Build",
			status: 200, response: build{}, scope: all, serve: (*call).sshBuild,
		}, {
			method: "POST", path: build1 + "/ssh-users", shown: shown1 + "/ssh-users", summary: "Let a user into a build: not offered, 400", tag: "Build",
			status: 200, response: build{}, scope: all, serve: (*call).sshBuild,
		}, {
			method: "POST", path: at1, summary: "Trigger a pipeline and return its first build", tag: "Build",
			status: 201, request: trigger1{}, response: build{}, scope: all, serve: (*call).trigger1,
		}, {
			method: "POST", path: at1 + "/tree/{branch...}", summary: "Trigger a pipeline for a branch and return its first build", tag: "Build",
			status: 201, request: trigger1{}, response: build{}, scope: all, serve: (*call).trigger1,
		}, {
			method: "POST", path: at1 + "/build", summary: "Trigger a pipeline", tag: "Build",
			status: 200, request: trigger1{}, response: accepted1{}, scope: all, serve: (*call).triggerBuild1,
		}, {
			method: "DELETE", path: at1 + "/build-cache", summary: "Clear the caches of a project: not offered, 400", tag: "Project",
			status: 200, response: message{}, scope: all, serve: (*call).clearCache,
		},
	}
}

func secretRoutes1() []route {
	return []route{
		{
			method: "GET", path: at1 + "/envvar", summary: "The variables of a project, masked", tag: "Variable",
			status: 200, response: []variable1{}, serve: (*call).variables1,
		}, {
			method: "POST", path: at1 + "/envvar", summary: "Set a variable", tag: "Variable",
			status: 201, request: variableRequest{}, response: variable1{}, serve: (*call).setVariable1,
		}, {
			method: "GET", path: at1 + "/envvar/{name}", summary: "A variable, masked", tag: "Variable",
			status: 200, response: variable1{}, serve: (*call).variable1,
		}, {
			method: "DELETE", path: at1 + "/envvar/{name}", summary: "Delete a variable", tag: "Variable",
			status: 200, response: message{}, serve: (*call).deleteVariable1,
		}, {
			method: "GET", path: at1 + "/checkout-key", summary: "The checkout keys of a project", tag: "Key",
			query: []string{digest1}, status: 200, response: []key1{}, serve: (*call).keys1,
		}, {
			method: "POST", path: at1 + "/checkout-key", summary: "Make a checkout key", tag: "Key",
			status: 201, request: keyRequest{}, response: key1{}, serve: (*call).createKey1,
		}, {
			method: "GET", path: at1 + "/checkout-key/{fingerprint...}", summary: "A checkout key", tag: "Key",
			query: []string{digest1}, status: 200, response: key1{}, serve: (*call).key1,
		}, {
			method: "DELETE", path: at1 + "/checkout-key/{fingerprint...}", summary: "Delete a checkout key", tag: "Key",
			status: 200, response: message{}, serve: (*call).deleteKey1,
		}, {
			method: "POST", path: at1 + "/ssh-key", summary: "Give jobs a private key for a host", tag: "Key",
			status: 201, request: sshKey1{}, response: message{}, serve: (*call).addSSHKey1,
		}, {
			method: "DELETE", path: at1 + "/ssh-key", summary: "Take such a key away", tag: "Key",
			status: 200, request: sshKey1{}, response: message{}, serve: (*call).deleteSSHKey1,
		},
	}
}

func settingRoutes1() []route {
	return []route{
		{
			method: "GET", path: at1 + "/settings", summary: "The settings of a project", tag: "Project",
			status: 200, response: settings1{}, serve: (*call).settings1,
		}, {
			method: "PUT", path: at1 + "/settings", summary: "Change settings of a project", tag: "Project",
			status: 200, request: settingsRequest1{}, response: settings1{}, serve: (*call).changeSettings1,
		}, {
			method: "GET", path: at1 + "/token", summary: "The tokens of a project", tag: "Project",
			status: 200, response: []token1{}, serve: (*call).tokens1,
		}, {
			method: "POST", path: at1 + "/token", summary: "Make a token of a project; it is shown this once", tag: "Project",
			status: 201, request: tokenRequest1{}, response: token1{}, serve: (*call).createToken1,
		}, {
			method: "DELETE", path: at1 + "/token/{token_id}", summary: "Take a token back", tag: "Project",
			status: 200, response: message{}, serve: (*call).deleteToken1,
		},
	}
}

const digest1 = "digest: md5 (if absent) or sha256, the form of fingerprints"

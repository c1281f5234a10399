package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// definitionRoutes are the operations on what a project's pipelines are made
// from.
func definitionRoutes() []route {
	const (
		all = "/projects/{project_id}/pipeline-definitions"
		at  = all + "/{pipeline_definition_id}"
	)
	return []route{
		{
			method: "GET", path: all, summary: "The pipeline definitions of a project", tag: "Pipeline Definition",
			status: 200, response: page[definition]{}, serve: (*call).listDefinitions,
		}, {
			method: "POST", path: all, summary: "Create a pipeline definition", tag: "Pipeline Definition",
			status: 201, request: definitionRequest{}, response: definition{}, serve: (*call).createDefinition,
		}, {
			method: "GET", path: at, summary: "A pipeline definition", tag: "Pipeline Definition",
			status: 200, response: definition{}, serve: (*call).getDefinition,
		}, {
			method: "PATCH", path: at, summary: "Change a pipeline definition in part", tag: "Pipeline Definition",
			status: 200, request: definitionRequest{}, response: definition{}, serve: (*call).changeDefinition,
		}, {
			method: "DELETE", path: at, summary: "Delete a pipeline definition", tag: "Pipeline Definition",
			status: 200, response: message{}, serve: (*call).deleteDefinition,
		}, {
			method: "POST", path: "/project/{project_slug}/pipeline/run", shown: "/project/{provider}/{organization}/{project}/pipeline/run",
			summary: "Trigger a pipeline of a definition", tag: "Pipeline",
			status: 201, request: runRequest{}, response: triggered{}, serve: (*call).runPipeline,
		},
	}
}

// configPath is where the configuration lies in every repository.
const configPath = ".circleci/config.yml"

// A definition says where a pipeline's configuration and code come from. Here
// that is always the project's repository and [configPath]: each project has
// one such definition by nature, and those that people create are other names
// for the same.
type definition struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Created     stamp          `json:"created_at"`
	Config      configSource   `json:"config_source"`
	Checkout    checkoutSource `json:"checkout_source"`
}

type configSource struct {
	Provider string     `json:"provider"`
	Repo     repository `json:"repo"`
	FilePath string     `json:"file_path"`
}

type checkoutSource struct {
	Provider string     `json:"provider"`
	Repo     repository `json:"repo"`
}

type repository struct {
	ExternalID string `json:"external_id"`
	FullName   string `json:"full_name"`
}

// repositoryOf returns the project's own.
func repositoryOf(p ci.Project) repository {
	name := p.Org + "/" + p.Repo
	if p.RepoID == "" {
		return repository{ExternalID: name, FullName: name}
	}
	return repository{ExternalID: p.RepoID, FullName: name}
}

// otherRepository refuses a source that is not the project's own.
func otherRepository(what string, p ci.Project) error {
	own := repositoryOf(p)
	text := own.FullName
	if own.ExternalID != own.FullName {
		text = own.ExternalID + " (" + text + ")"
	}
	return refuse(http.StatusBadRequest, what+" must be the project's own repository, with the external_id "+text+".")
}

// sourceProvider returns the project's code host in the words of definitions.
func sourceProvider(p ci.Project) string {
	host, _, _ := strings.Cut(p.Slug, "/")
	switch {
	case host == "gh" && strings.HasPrefix(webURL(p), hosts["gh"]):
		return "github_oauth"
	case host == "gh":
		return "github_server"
	}
	return host
}

// natural returns the definition that a project has by nature.
func natural(p ci.Project) definition {
	repo, host := repositoryOf(p), sourceProvider(p)
	return definition{
		ID: uuidOr("", "definition "+string(p.ID)), Name: "build", Config: configSource{host, repo, configPath},
		Checkout: checkoutSource{host, repo},
	}
}

// A keptDefinition is what is kept of one that people created.
type keptDefinition struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Config      string `json:"config,omitempty"` // the provider, as it was written
	Checkout    string `json:"checkout,omitempty"`
}

func definitionOf(p ci.Project, k kept[keptDefinition]) definition {
	d := natural(p)
	d.ID, d.Created, d.Name, d.Description = k.ID, stampOf(k.Created), k.is.Name, k.is.Description
	d.Config.Provider, d.Checkout.Provider = k.is.Config, k.is.Checkout
	return d
}

// definitions returns all definitions of a project, the natural one first.
func (c *call) definitions(p ci.Project) ([]definition, error) {
	created, err := readDocs[keptDefinition](c, docDefinition, string(p.ID))
	if err != nil {
		return nil, err
	}
	all := []definition{natural(p)}
	for _, k := range created {
		all = append(all, definitionOf(p, k))
	}
	return all, nil
}

// definitionOfAddress returns the one of the address.
func (c *call) definitionOfAddress(write bool) (ci.Project, definition, error) {
	p, err := c.projectNamed(c.r.PathValue("project_id"), write)
	if err != nil {
		return p, definition{}, err
	}
	d, err := c.definitionNamed(p, c.r.PathValue("pipeline_definition_id"))
	return p, d, err
}

func (c *call) definitionNamed(p ci.Project, id string) (definition, error) {
	all, err := c.definitions(p)
	if err != nil {
		return definition{}, err
	}
	i := slices.IndexFunc(all, func(d definition) bool { return d.ID == strings.ToLower(id) })
	if i < 0 {
		return definition{}, refuse(http.StatusNotFound, "Pipeline definition not found")
	}
	return all[i], nil
}

// listDefinitions answers with one page: the clients of this list read no more.
func (c *call) listDefinitions() (any, error) {
	p, err := c.projectNamed(c.r.PathValue("project_id"), false)
	if err != nil {
		return nil, err
	}
	all, err := c.definitions(p)
	if err != nil {
		return nil, err
	}
	return pageOf(all, nil), nil
}

func (c *call) getDefinition() (any, error) {
	_, d, err := c.definitionOfAddress(false)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// A definitionRequest is a definition as people write it; what is absent stays
// as it is.
type definitionRequest struct {
	Name        *string            `json:"name,omitempty"`
	Description *string            `json:"description,omitempty"`
	Config      *definitionSources `json:"config_source,omitempty"`
	Checkout    *definitionSources `json:"checkout_source,omitempty"`
}

type definitionSources struct {
	Provider string           `json:"provider,omitempty"`
	Repo     definitionOrigin `json:"repo,omitempty"`
	FilePath string           `json:"file_path,omitempty"`
}

type definitionOrigin struct {
	ExternalID string `json:"external_id,omitempty"`
}

// onto puts what the request says onto what is kept, and refuses what this
// server would not do: another repository, another file.
func (r definitionRequest) onto(k *keptDefinition, p ci.Project) error {
	change(&k.Name, r.Name)
	change(&k.Description, r.Description)
	for i, s := range []*definitionSources{r.Config, r.Checkout} {
		if s == nil {
			continue
		}
		what := []string{"config_source", "checkout_source"}[i]
		if !sameRepository(s.Repo.ExternalID, p) {
			return otherRepository(what, p)
		}
		if s.FilePath != "" && s.FilePath != configPath {
			return refuse(http.StatusBadRequest, "file_path must be "+configPath+"; this server reads no other file.")
		}
		if s.Provider != "" && !slices.Contains([]string{"github_app", "github_server", "github_oauth", sourceProvider(p)}, s.Provider) {
			return refuse(http.StatusBadRequest, "The provider of "+what+" must be github_app or github_server.")
		}
	}
	if r.Config != nil && r.Config.Provider != "" {
		k.Config = r.Config.Provider
	}
	if r.Checkout != nil && r.Checkout.Provider != "" {
		k.Checkout = r.Checkout.Provider
	}
	if strings.TrimSpace(k.Name) == "" || len(k.Name) > 200 || len(k.Description) > 10_000 {
		return refuse(http.StatusBadRequest, "name is required, with at most 200 bytes; a description has at most 10000.")
	}
	return nil
}

// sameRepository takes what the code host calls the repository, and what people
// do. "" is not said.
func sameRepository(id string, p ci.Project) bool {
	own := repositoryOf(p)
	return id == "" || id == own.ExternalID || strings.EqualFold(id, own.FullName)
}

func (c *call) createDefinition() (any, error) {
	p, err := c.projectNamed(c.r.PathValue("project_id"), true)
	if err != nil {
		return nil, err
	}
	host := sourceProvider(p)
	return c.putDefinition(p, kept[keptDefinition]{
		Doc: ci.Doc{Kind: docDefinition, ID: ci.NewID(), Scope: string(p.ID)}, is: keptDefinition{Config: host, Checkout: host},
	})
}

func (c *call) putDefinition(p ci.Project, k kept[keptDefinition]) (any, error) {
	var req definitionRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if err := req.onto(&k.is, p); err != nil {
		return nil, err
	}
	k.Name = k.is.Name
	err := k.write(c)
	if errors.Is(err, ci.ErrConflict) {
		return nil, refuse(http.StatusConflict, "A pipeline definition of that name already exists, or somebody has changed this one meanwhile; read it again.")
	}
	if err != nil {
		return nil, err
	}
	return definitionOf(p, k), nil
}

// createdDefinition returns the one of the address, which must not be the
// natural one.
func (c *call) createdDefinition() (ci.Project, kept[keptDefinition], error) {
	p, d, err := c.definitionOfAddress(true)
	if err != nil {
		return p, kept[keptDefinition]{}, err
	}
	if d.ID == natural(p).ID {
		return p, kept[keptDefinition]{}, refuse(http.StatusBadRequest, "The definition that every project has cannot be changed.")
	}
	k, err := readDoc[keptDefinition](c, docDefinition, string(p.ID), d.ID)
	return p, k, named(err, "Pipeline definition")
}

func (c *call) changeDefinition() (any, error) {
	p, k, err := c.createdDefinition()
	if err != nil {
		return nil, err
	}
	return c.putDefinition(p, k)
}

// deleteDefinition takes the triggers along.
func (c *call) deleteDefinition() (any, error) {
	p, k, err := c.createdDefinition()
	if err != nil {
		return nil, err
	}
	triggers, err := c.triggers(p)
	if err != nil {
		return nil, err
	}
	for _, t := range triggers {
		if t.is.Definition != k.ID {
			continue
		}
		if err := c.removeTrigger(p, t); err != nil {
			return nil, err
		}
	}
	if err := k.remove(c); err != nil {
		return nil, named(err, "Pipeline definition")
	}
	return message{"Pipeline definition deleted."}, nil
}

// A runRequest asks for a pipeline of a definition.
type runRequest struct {
	Definition string         `json:"definition_id,omitempty"`
	Config     runConfig      `json:"config,omitempty"`
	Checkout   runRef         `json:"checkout,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

type runRef struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
}

type runConfig struct {
	Branch  string `json:"branch,omitempty"`
	Tag     string `json:"tag,omitempty"`
	Content string `json:"content,omitempty"`
}

func (c *call) runPipeline() (any, error) {
	p, err := c.project(true)
	if err != nil {
		return nil, err
	}
	var req runRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Definition != "" {
		if _, err := c.definitionNamed(p, req.Definition); err != nil {
			return nil, err
		}
	}
	config := runRef{req.Config.Branch, req.Config.Tag}
	switch {
	case req.Config.Content != "":
		return nil, refuse(http.StatusBadRequest, "A configuration in the request is not supported; commit it.")
	case req.Checkout == runRef{}:
		req.Checkout = config
	case config != runRef{} && config != req.Checkout:
		return nil, refuse(http.StatusBadRequest, "config and checkout must name the same branch or tag; this server reads the configuration of the commit that it builds.")
	}
	return c.start(p, triggerRequest{Branch: req.Checkout.Branch, Tag: req.Checkout.Tag, Parameters: req.Parameters, text: true})
}

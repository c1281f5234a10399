package audit

import (
	"slices"
	"strings"
)

// An Action is one entry of the catalogue: the kind of an event.
type Action struct {
	Name string
	// When says when it is written.
	When string
	// Target is the type of what is acted upon.
	Target string
	// Payload are its fields, a dot is a level; all are text but contexts,
	// variables and keys, which are lists.
	Payload []string
	// Strict acts are refused while the book is full; the others have happened
	// already when the book hears of them.
	Strict bool
	// Ours says that the operator's guide does not list it.
	Ours bool
}

func (a Action) has(field string) bool { return slices.Contains(a.Payload, field) }

// Catalogue returns all actions that Rondo writes, by name: the 24 of the
// guide's two lists and of later versions, and ours. It is made anew with each
// call.
func Catalogue() []Action {
	asking := []string{"project", "pipeline", "workflow", "job"}
	job := []string{
		"job.id", "job.job_name", "job.job_status", "job.number", "workflow.id", "workflow.name", "workflow.vcs_branch", "pipeline.id",
	}
	flow := []string{"workflow.id", "workflow.name", "workflow.status", "workflow.vcs_branch", "workflow.rerun_of", "pipeline.id", "pipeline.number"}
	all := slices.Concat([]Action{
		{Name: "context.create", When: "a context is made", Target: "context", Strict: true},
		{Name: "context.delete", When: "a context is deleted with all that is in it", Target: "context", Strict: true},
		{Name: "context.env_var.store", When: "a variable of a context is set", Target: "context", Payload: []string{"variable"}, Strict: true},
		{Name: "context.env_var.delete", When: "a variable of a context is deleted", Target: "context", Payload: []string{"variable"}, Strict: true},
		{Name: "context.secrets.accessed", When: "a job is about to get the variables of a context", Target: "context", Payload: append(asking, "variables"), Strict: true},
		{Name: "project.add", When: "a project is made", Target: "project", Strict: true},
		{Name: "project.follow", When: "pushes begin to start pipelines", Target: "project", Strict: true},
		{Name: "project.unfollow", When: "somebody asks that pushes start no pipelines any more", Target: "project", Strict: true},
		{Name: "project.stop_building", When: "a project starts no pipelines any more", Target: "project", Strict: true},
		{Name: "project.settings.update", When: "settings of a project are changed", Target: "project", Payload: []string{"settings"}, Strict: true},
		{Name: "project.env_var.create", When: "a variable of a project is set", Target: "project", Payload: []string{"variable"}, Strict: true},
		{Name: "project.env_var.delete", When: "a variable of a project is deleted", Target: "project", Payload: []string{"variable"}, Strict: true},
		{Name: "user.create", When: "a person signs in for the first time", Target: "user", Strict: true},
		{Name: "user.logged_in", When: "a person signs in, or is refused", Target: "user", Payload: []string{"provider"}, Strict: true},
		{Name: "user.logged_out", When: "a person signs out", Target: "user", Strict: true},
		{Name: "user.suspended", When: "a person is shut out", Target: "user", Strict: true},
		{Name: "workflow.start", When: "a workflow begins", Target: "project", Payload: flow},
		{Name: "workflow.retry", When: "a workflow, or jobs of one, run again", Target: "project", Payload: append(flow, "job.id", "job.job_name")},
		{Name: "workflow.error", When: "a configuration cannot be used or a workflow ends with an error", Target: "project", Payload: flow},
		{Name: "workflow.job.scheduled", When: "a job waits for a place to run", Target: "project", Payload: job},
		{Name: "workflow.job.start", When: "the first task of a job runs", Target: "project", Payload: job},
		{Name: "workflow.job.finish", When: "a job has ended", Target: "project", Payload: append(job, "job.contexts")},
		{Name: "workflow.job.approve", When: "a person lets an approval job pass", Target: "project", Payload: job},
		{Name: "workflow.job.context.request", When: "a job asks for contexts, or is denied them", Target: "project", Payload: append(asking, "contexts"), Strict: true},
	}, ours(asking, job, flow))
	for i := range all {
		all[i].Payload = slices.Clone(all[i].Payload)
	}
	slices.SortFunc(all, func(a, b Action) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// ours are the actions that the guide does not list. The first ones stand
// beside documented ones of the same entity; the others begin with rondo.
func ours(asking, job, flow []string) []Action {
	all := []Action{
		{Name: "context.restriction.create", When: "a restriction is put on a context", Target: "context", Payload: []string{"restriction", "value"}, Strict: true},
		{Name: "context.restriction.delete", When: "a restriction of a context is removed", Target: "context", Payload: []string{"restriction", "value"}, Strict: true},
		{Name: "project.secrets.accessed", When: "a job is about to get variables and keys of its project", Target: "project", Payload: append(asking, "variables", "keys"), Strict: true},
		{Name: "rondo.audit.key.rotate", When: "checkpoints of this log are signed with a new key from now on", Target: "installation", Payload: []string{"key"}, Strict: true},
		{Name: "rondo.audit.export", When: "the book is downloaded", Target: "installation", Payload: []string{"format", "filter"}, Strict: true},
		{Name: "rondo.directory.test", When: "somebody tries a login of the directory on its page", Target: "directory", Payload: []string{"login"}, Strict: true},
		{Name: "rondo.keys.rotate", When: "a new key for stored secrets is made", Target: "installation", Strict: true},
		{Name: "rondo.node.drain", When: "a node is to take nothing new", Target: "node", Payload: []string{"deadline"}, Strict: true},
		{Name: "rondo.node.ready", When: "a node may take tasks again", Target: "node", Strict: true},
		{Name: "rondo.machine.end", When: "an operator ends a machine of a task, or one that waits for one", Target: "machine", Strict: true},
		{Name: "rondo.machine.reap", When: "a machine that belongs to nobody is ended by the server itself", Target: "machine", Payload: []string{"task", "why"}},
		{Name: "rondo.machines.drain", When: "the pool gives out and keeps no machines", Target: "machines", Strict: true},
		{Name: "rondo.machines.ready", When: "the pool gives out machines again", Target: "machines", Strict: true},
		{Name: "rondo.machines.reconcile", When: "books and provider are compared, and what belongs to nobody is ended", Target: "machines", Strict: true},
		{Name: "rondo.layers.purge", When: "the volumes with Docker layers of a project are removed", Target: "project", Strict: true},
		{Name: "rondo.layers.reap", When: "a volume that belongs to nobody is detached or removed by the server itself", Target: "layers", Payload: []string{"why"}},
		{Name: "rondo.settings.update", When: "settings of the installation are changed on their page", Target: "installation", Payload: []string{"form"}, Strict: true},
		{Name: "rondo.queue.promote", When: "tasks are moved past the limit of their organisation", Target: "queue", Payload: []string{"count", "of"}, Strict: true},
		{Name: "rondo.queue.cancel", When: "a batch of tasks that wait is canceled", Target: "queue", Payload: []string{"count"}, Strict: true},
		{Name: "rondo.pipeline.create", When: "a pipeline is accepted", Target: "project", Payload: []string{"pipeline.id", "pipeline.number", "pipeline.vcs_branch"}},
		{Name: "rondo.pipeline.continue", When: "a pipeline gets its second configuration", Target: "project", Payload: []string{"pipeline.id", "pipeline.number", "pipeline.vcs_branch"}},
		{Name: "rondo.workflow.cancel", When: "a workflow ends because it was canceled", Target: "project", Payload: flow},
		{Name: "rondo.workflow.finish", When: "a workflow has ended otherwise", Target: "project", Payload: flow},
		{Name: "rondo.workflow.job.hold", When: "an approval job begins to wait for a person", Target: "project", Payload: job},
	}
	for _, key := range []string{"project.checkout_key", "project.ssh_key"} {
		for _, verb := range []string{"create", "delete"} {
			all = append(all, Action{
				Name: key + "." + verb, When: "an SSH key of a project: " + verb, Target: "project", Payload: []string{"key", "kind", "host"}, Strict: true,
			})
		}
	}
	for _, noun := range watched() {
		for _, verb := range []string{"create", "update", "delete"} {
			all = append(all, Action{Name: "rondo." + noun.word + "." + verb, When: noun.says + ": " + verb, Target: noun.word, Strict: true})
		}
	}
	for _, verb := range []string{
		"role_change", "reactivate", "delete", "link", "unlink", "invite", "password_change", "password_reset", "sessions_end", "settings_change",
	} {
		all = append(all, Action{Name: "rondo.user." + verb, When: "an administrator or the person: " + verb, Target: "user", Payload: []string{"role", "provider"}, Strict: true})
	}
	for i := range all {
		all[i].Ours = true
	}
	return all
}

// Find returns the entry of an action, and whether there is one.
func Find(name string) (Action, bool) {
	i := slices.IndexFunc(catalogue, func(a Action) bool { return a.Name == name })
	if i < 0 {
		return Action{}, false
	}
	return catalogue[i], true
}

var catalogue = Catalogue()

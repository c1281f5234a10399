package metrics

// A Metric describes a figure that Rondo itself gives.
type Metric struct {
	Name   string
	Kind   Kind
	Unit   string   // seconds, bytes, 1 for what is counted
	Labels []string // keys of tags
	Help   string
	// Alert is the rule of the shipped alerts, in the language of Prometheus,
	// with the name as NAME; "" is none. For says how long it must hold.
	Alert, For string
}

// Catalogue returns all figures of Rondo, by chapter. The five of
// circle.nomad.server_agent are those of the operations guide, letter by
// letter. Samples with other names come from what users send.
func Catalogue() []Metric {
	return []Metric{
		{Name: "circle.nomad.server_agent.poll_failure", Kind: Gauge, Unit: "1", Help: "1 when the last poll of the cluster failed, else 0", Alert: "NAME == 1", For: "2m"},
		{Name: "circle.nomad.server_agent.jobs.pending", Kind: Gauge, Unit: "1", Help: "jobs of the cluster that wait for room", Alert: "NAME > 0 and delta(circle_nomad_server_agent_jobs_running[5m]) == 0", For: "5m"},
		{Name: "circle.nomad.server_agent.jobs.running", Kind: Gauge, Unit: "1", Help: "jobs of the cluster that run"},
		{Name: "circle.nomad.server_agent.jobs.complete", Kind: Gauge, Unit: "1", Help: "jobs of the cluster that ended well, of those it still knows"},
		{Name: "circle.nomad.server_agent.jobs.dead", Kind: Gauge, Unit: "1", Help: "jobs of the cluster that ended, well or not, of those it still knows"},

		{Name: "queue.wait", Kind: Dist, Unit: "seconds", Labels: []string{"class", "executor"}, Help: "from when a task could start until it did", Alert: "histogram_quantile(0.99, sum by (le) (rate(NAME_bucket[10m]))) > 10", For: "10m"},
		{Name: "queue.usage", Kind: Gauge, Unit: "1", Help: "tasks in the usage queue: their organisation is at its limit"},
		{Name: "queue.run", Kind: Gauge, Unit: "1", Help: "tasks in the run queue: they wait for room"},
		{Name: "queue.placed", Kind: Gauge, Unit: "1", Help: "tasks that were handed out and that no agent has claimed yet"},
		{Name: "queue.running", Kind: Gauge, Unit: "1", Help: "tasks that run"},
		{Name: "queue.oldest", Kind: Gauge, Unit: "seconds", Help: "how long the oldest waiting task has waited"},
		{Name: "queue.missing_nodes", Kind: Gauge, Unit: "1", Help: "how many more nodes would start all that waits"},

		{Name: "capacity.cpu", Kind: Gauge, Unit: "1", Labels: []string{"state"}, Help: "CPUs of all nodes by state: used, free, draining, down"},
		{Name: "capacity.memory", Kind: Gauge, Unit: "bytes", Labels: []string{"state"}, Help: "memory of all nodes by state"},
		{Name: "capacity.nodes", Kind: Gauge, Unit: "1", Labels: []string{"state"}, Help: "nodes by state"},
		{Name: "capacity.utilisation", Kind: Gauge, Unit: "1", Help: "the part of the CPUs of ready nodes that tasks hold", Alert: "NAME > 0.85", For: "15m"},

		{Name: "pipelines.started_total", Kind: Count, Unit: "1", Labels: []string{"source"}, Help: "pipelines that were accepted"},
		{Name: "workflows.ended_total", Kind: Count, Unit: "1", Labels: []string{"status"}, Help: "workflows that ended"},
		{Name: "workflows.duration", Kind: Dist, Unit: "seconds", Labels: []string{"status"}, Help: "how long workflows took"},
		{Name: "jobs.ended_total", Kind: Count, Unit: "1", Labels: []string{"status"}, Help: "jobs that ended"},
		{Name: "jobs.duration", Kind: Dist, Unit: "seconds", Labels: []string{"status"}, Help: "how long jobs took"},
		{Name: "jobs.first_failure", Kind: Dist, Unit: "seconds", Help: "from the push until the first job failed"},

		{Name: "cicd.pipeline.run.duration", Kind: Dist, Unit: "seconds", Labels: []string{"cicd.pipeline.result"}, Help: "how long pipelines took, by OpenTelemetry's words"},
		{Name: "cicd.pipeline.run.active", Kind: Gauge, Unit: "1", Labels: []string{"cicd.pipeline.run.state"}, Help: "pipelines that have not ended: pending, executing"},
		{Name: "cicd.worker.count", Kind: Gauge, Unit: "1", Labels: []string{"state"}, Help: "nodes: available, busy, offline"},

		{Name: "machines.count", Kind: Gauge, Unit: "1", Labels: []string{"kind", "state"}, Help: "machines of the machine service by state"},
		{Name: "machines.stale", Kind: Gauge, Unit: "1", Help: "machines that are older than they may be (leak_hours)", Alert: "NAME > 0", For: "15m"},
		{Name: "machines.oldest", Kind: Gauge, Unit: "seconds", Help: "age of the oldest machine", Alert: "NAME > 86400", For: "5m"},
		{Name: "machines.boot", Kind: Dist, Unit: "seconds", Labels: []string{"kind"}, Help: "from the request of a machine until it can take a job"},
		{Name: "volumes.count", Kind: Gauge, Unit: "1", Labels: []string{"state"}, Help: "layer-cache volumes by state"},
		{Name: "volumes.bytes", Kind: Gauge, Unit: "bytes", Help: "size of all layer-cache volumes"},
		{Name: "volumes.hits_total", Kind: Count, Unit: "1", Labels: []string{"result"}, Help: "jobs that asked for a layer cache: hit, fresh, none"},

		{Name: "http.request", Kind: Dist, Unit: "seconds", Labels: []string{"status"}, Help: "requests of API and pages by class of the answer: 2xx, 4xx, 5xx"},
		{Name: "audit.lag", Kind: Gauge, Unit: "seconds", Help: "age of the oldest audit event that no sink has yet", Alert: "NAME > 300", For: "5m"},
		{Name: "certificate.days_left", Kind: Gauge, Unit: "1", Labels: []string{"host"}, Help: "days until a certificate ends", Alert: "NAME < 21", For: "1h"},
		{Name: "metrics.dropped_total", Kind: Count, Unit: "1", Labels: []string{"sink"}, Help: "samples that a slow sink has lost", Alert: "rate(NAME[5m]) > 0", For: "5m"},
		{Name: "metrics.refused_total", Kind: Count, Unit: "1", Labels: []string{"sink"}, Help: "samples that a sink would not take"},
		{Name: "metrics.series_folded_total", Kind: Count, Unit: "1", Help: "combinations of tags beyond the limit of a name, folded into other"},
		{Name: "statsd.packets_total", Kind: Count, Unit: "1", Help: "packets that came in by StatsD"},
		{Name: "statsd.malformed_total", Kind: Count, Unit: "1", Help: "messages by StatsD that could not be read"},
		{Name: "statsd.dropped_total", Kind: Count, Unit: "1", Help: "packets by StatsD that came faster than they could be read, or from elsewhere"},
	}
}

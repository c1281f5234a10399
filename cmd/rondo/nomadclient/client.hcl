# /etc/nomad.d/client.hcl: a client of Rondo's cluster, made by
# rondo nomad client-config. It keeps no state that matters.
datacenter = "{{.Datacenter}}"
region     = "{{.Region}}"
{{- if .Name}}
name       = "{{.Name}}"
{{- end}}
data_dir   = "/opt/nomad/data"
log_level  = "INFO"
bind_addr  = "0.0.0.0"

server {
  enabled = false
}

client {
  enabled    = true
  node_class = "{{.Class}}"
{{- if .Pool}}
  node_pool  = "{{.Pool}}"
{{- end}}

  server_join {
    retry_join     = [{{quoted .Servers}}]
    retry_max      = 0 # for ever
    retry_interval = "15s"
  }

  # What the machine keeps for coordination. Nomad places tasks by what is left,
  # so that it agrees with the sizes in the operator's guide.
  reserved {
    cores  = "0-{{.LastCore}}"
    memory = {{.Memory}}
    disk   = 10240
  }

  # A build outlives a restart of this service, and Nomad cleans up behind it.
  gc_interval              = "1m"
  gc_disk_usage_threshold  = 50
  gc_max_allocs            = 200
  max_kill_timeout         = "10m"

  options = {
    # Looking for clouds that are not there costs seconds at each start.
    "fingerprint.denylist" = "{{.Denied}}"
  }
}
{{- if eq .Driver "exec"}}

# The agent of a job is started in a root of its own, which holds what Nomad's
# chroot_env says: by default /bin, /etc, /lib, /sbin and /usr of the machine,
# with the agent and git. It needs cgroups; it cannot use a Docker engine.
{{- else if eq .Driver "docker"}}

# The agent of a job is started in a container, of the image that the settings of
# the server name.
plugin "docker" {
  config {
    allow_privileged = false
    volumes {
      enabled = false
    }
  }
}
{{- else}}

# The agent of a job is started as a program of the host. It is root there: let
# policies (ACL) keep everybody else from submitting jobs.
plugin "raw_exec" {
  config {
    enabled = true
  }
}
{{- end}}
{{if .TLS}}
# Names in the certificates are server.{{.Region}}.nomad and client.{{.Region}}.nomad;
# they are checked, the DNS names of machines are not.
tls {
  http                   = true
  rpc                    = true
  ca_file                = "/etc/nomad.d/tls/ca.pem"
  cert_file              = "/etc/nomad.d/tls/client.pem"
  key_file               = "/etc/nomad.d/tls/client-key.pem"
  verify_server_hostname = true
  verify_https_client    = true
}
{{end}}{{if .ACL}}
acl {
  enabled = true
}
{{end}}
telemetry {
  prometheus_metrics         = true
  publish_allocation_metrics = true
  publish_node_metrics       = true
}

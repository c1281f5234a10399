# /etc/nomad.d/client.hcl: a client of Rondo's cluster, made by
# rondo nomad client-config. It keeps no state that matters.
datacenter = "us-east-1"
region     = "global"
data_dir   = "/opt/nomad/data"
log_level  = "INFO"
bind_addr  = "0.0.0.0"

server {
  enabled = false
}

client {
  enabled    = true
  node_class = "linux-64bit"
  node_pool  = "trusted"

  server_join {
    retry_join     = ["nomad.internal:4647", "10.0.0.11"]
    retry_max      = 0 # for ever
    retry_interval = "15s"
  }

  # What the machine keeps for coordination. Nomad places tasks by what is left,
  # so that it agrees with the sizes in the operator's guide.
  reserved {
    cores  = "0-1"
    memory = 4096
    disk   = 10240
  }

  # A build outlives a restart of this service, and Nomad cleans up behind it.
  gc_interval              = "1m"
  gc_disk_usage_threshold  = 50
  gc_max_allocs            = 200
  max_kill_timeout         = "10m"

  options = {
    # Looking for clouds that are not there costs seconds at each start.
    "fingerprint.denylist" = "env_azure,env_gce,env_digitalocean"
  }
}

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

# Names in the certificates are server.global.nomad and client.global.nomad;
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

acl {
  enabled = true
}

telemetry {
  prometheus_metrics         = true
  publish_allocation_metrics = true
  publish_node_metrics       = true
}

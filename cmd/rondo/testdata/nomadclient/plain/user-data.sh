#!/bin/bash
# Cloud user data of a client: it makes a fresh Ubuntu or Debian machine a client
# of the cluster. nomad and rondo are in /usr/local/bin of the image. The file
# holds no secret, as whoever reaches the metadata address reads it: put TLS keys
# into /etc/nomad.d/tls and RONDO_TOKEN into /etc/rondo/lifecycle.env by the image
# or by your store of secrets.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
[ "$(uname -m)" = x86_64 ] || echo "this is no x86_64 machine, and its node class says linux-64bit" >&2
for tool in nomad rondo; do
	[ -x "/usr/local/bin/$tool" ] || { echo "there is no /usr/local/bin/$tool: put it into the image" >&2; exit 1; }
done

install -d -m 700 /etc/nomad.d /etc/nomad.d/tls
install -d -m 755 /opt/nomad /etc/rondo
cat >/etc/nomad.d/client.hcl <<'HCL'
# /etc/nomad.d/client.hcl: a client of Rondo's cluster, made by
# rondo nomad client-config. It keeps no state that matters.
datacenter = "default"
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

  server_join {
    retry_join     = ["10.0.0.10"]
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
    "fingerprint.denylist" = "env_aws,env_azure,env_gce,env_digitalocean"
  }
}

# The agent of a job is started as a program of the host. It is root there: let
# policies (ACL) keep everybody else from submitting jobs.
plugin "raw_exec" {
  config {
    enabled = true
  }
}

telemetry {
  prometheus_metrics         = true
  publish_allocation_metrics = true
  publish_node_metrics       = true
}
HCL
chmod 600 /etc/nomad.d/*.hcl
cat >/etc/systemd/system/nomad.service <<'UNIT'
# /etc/systemd/system/nomad.service
[Unit]
Description=Nomad client of Rondo
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/nomad agent -config /etc/nomad.d
ExecReload=/bin/kill -HUP $MAINPID
# Only Nomad itself is ended, the tasks go on.
KillMode=process
KillSignal=SIGINT
Restart=always
RestartSec=30
LimitNOFILE=65536
TasksMax=infinity
OOMScoreAdjust=-1000

[Install]
WantedBy=multi-user.target
UNIT

# Jobs do not reach the metadata of the machine.
if command -v iptables >/dev/null; then
	iptables -N DOCKER-USER 2>/dev/null || true
	iptables -C DOCKER-USER -d 169.254.169.254/32 -j DROP 2>/dev/null || iptables -I DOCKER-USER -d 169.254.169.254/32 -j DROP
fi
systemctl daemon-reload
systemctl enable --now nomad.service

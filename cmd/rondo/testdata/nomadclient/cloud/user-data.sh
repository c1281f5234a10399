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

# IMDSv2: a token first. The machine needs HttpPutResponseHopLimit 1 only, so that
# containers cannot ask for the role of the machine.
token=$(curl -fsS --retry 5 --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 180' http://169.254.169.254/latest/api/token)
metadata() { curl -fsS --retry 5 --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"; }
instance=$(metadata instance-id)
address=$(metadata local-ipv4)

install -d -m 700 /etc/nomad.d /etc/nomad.d/tls
install -d -m 755 /opt/nomad /etc/rondo
cat >/etc/nomad.d/client.hcl <<'HCL'
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
HCL
cat >/etc/nomad.d/machine.hcl <<HCL
name = "$instance"
advertise {
  http = "$address"
  rpc  = "$address"
  serf = "$address"
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
cat >/usr/local/bin/rondo-lifecycle.sh <<'HOOK'
#!/bin/sh
# /usr/local/bin/rondo-lifecycle.sh: drains this machine before Amazon ends it.
# It may be ended and started again at any point.
set -eu
exec /usr/local/bin/rondo asg lifecycle --state /var/lib/rondo-lifecycle/state "$@"
HOOK
chmod 755 /usr/local/bin/rondo-lifecycle.sh
cat >/etc/systemd/system/rondo-lifecycle.service <<'UNIT'
# /etc/systemd/system/rondo-lifecycle.service: before Amazon ends this machine
# its builds finish.
[Unit]
Description=Rondo, the end of this machine without the end of its builds
Wants=network-online.target
After=network-online.target nomad.service
StartLimitIntervalSec=0

[Service]
# RONDO_URL and RONDO_TOKEN, of an operator
EnvironmentFile=/etc/rondo/lifecycle.env
ExecStart=/usr/local/bin/rondo-lifecycle.sh
StateDirectory=rondo-lifecycle
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
touch /etc/rondo/lifecycle.env
chmod 600 /etc/rondo/lifecycle.env
grep -q '^RONDO_NODE=' /etc/rondo/lifecycle.env || echo "RONDO_NODE=$instance" >>/etc/rondo/lifecycle.env
grep -q '^RONDO_URL=' /etc/rondo/lifecycle.env || echo "RONDO_URL=https://ci.example.com" >>/etc/rondo/lifecycle.env

# Jobs do not reach the metadata of the machine.
if command -v iptables >/dev/null; then
	iptables -N DOCKER-USER 2>/dev/null || true
	iptables -C DOCKER-USER -d 169.254.169.254/32 -j DROP 2>/dev/null || iptables -I DOCKER-USER -d 169.254.169.254/32 -j DROP
fi
systemctl daemon-reload
systemctl enable --now nomad.service rondo-lifecycle.service

#!/bin/bash
# Cloud user data of a client: it makes a fresh Ubuntu or Debian machine a client
# of the cluster. nomad and rondo are in /usr/local/bin of the image. The file
# holds no secret, as whoever reaches the metadata address reads it: put TLS keys
# into /etc/nomad.d/tls and RONDO_TOKEN into /etc/rondo/lifecycle.env by the image
# or by your store of secrets.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
[ "$(uname -m)" = x86_64 ] || echo "this is no x86_64 machine, and its node class says {{.Class}}" >&2
for tool in nomad rondo; do
	[ -x "/usr/local/bin/$tool" ] || { echo "there is no /usr/local/bin/$tool: put it into the image" >&2; exit 1; }
done
{{- if .Cloud}}

# IMDSv2: a token first. The machine needs HttpPutResponseHopLimit 1 only, so that
# containers cannot ask for the role of the machine.
token=$(curl -fsS --retry 5 --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 180' http://169.254.169.254/latest/api/token)
metadata() { curl -fsS --retry 5 --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"; }
instance=$(metadata instance-id)
address=$(metadata local-ipv4)
{{- end}}

install -d -m 700 /etc/nomad.d /etc/nomad.d/tls
install -d -m 755 /opt/nomad /etc/rondo
cat >/etc/nomad.d/client.hcl <<'HCL'
{{.HCL}}HCL
{{- if .Cloud}}
cat >/etc/nomad.d/machine.hcl <<HCL
name = "$instance"
advertise {
  http = "$address"
  rpc  = "$address"
  serf = "$address"
}
HCL
{{- end}}
chmod 600 /etc/nomad.d/*.hcl
cat >/etc/systemd/system/nomad.service <<'UNIT'
{{.Unit}}UNIT
{{- if .Cloud}}
cat >/usr/local/bin/rondo-lifecycle.sh <<'HOOK'
{{.Hook}}HOOK
chmod 755 /usr/local/bin/rondo-lifecycle.sh
cat >/etc/systemd/system/rondo-lifecycle.service <<'UNIT'
{{.HookUnit}}UNIT
touch /etc/rondo/lifecycle.env
chmod 600 /etc/rondo/lifecycle.env
grep -q '^RONDO_NODE=' /etc/rondo/lifecycle.env || echo "RONDO_NODE=$instance" >>/etc/rondo/lifecycle.env
{{- if .URL}}
grep -q '^RONDO_URL=' /etc/rondo/lifecycle.env || echo "RONDO_URL={{.URL}}" >>/etc/rondo/lifecycle.env
{{- end}}
{{- end}}

# Jobs do not reach the metadata of the machine.
if command -v iptables >/dev/null; then
	iptables -N DOCKER-USER 2>/dev/null || true
	iptables -C DOCKER-USER -d 169.254.169.254/32 -j DROP 2>/dev/null || iptables -I DOCKER-USER -d 169.254.169.254/32 -j DROP
fi
systemctl daemon-reload
systemctl enable --now nomad.service{{if .Cloud}} rondo-lifecycle.service{{end}}

# How an engine is made to serve by TLS: show_engine says how it is started,
# serve_engine has it started in another way.
dropin=/etc/systemd/system/docker.service.d/rondo.conf

show_engine() {
	file=/etc/docker/daemon.json
	if by_systemd; then
		say systemd 1
		say line "$(systemctl show -p ExecStart docker.service | sed -n 's/^ExecStart=.* argv\[\]=\(.*\) ; ignore_errors=.*/\1/p' | tail -n 1 | base64 -w 0)"
	else
		remember dockerd
		[ -s "$state/dockerd.args" ] || die "no Docker engine runs here: neither systemd has a docker.service, nor was a dockerd started otherwise"
		say args "$(base64 -w 0 <"$state/dockerd.args")"
		other=$(tr '\000' '\n' <"$state/dockerd.args" | awk 'last == "--config-file" { print } /^--config-file=/ { print substr($0, 15) } { last = $0 }' | tail -n 1)
		[ -z "$other" ] || file=$other
	fi
	say file "$(printf %s "$file" | base64 -w 0)"
	[ ! -e "$file" ] || [ "$(wc -c <"$file")" -lt 65536 ] || die "$file is larger than 64 KiB"
	[ ! -e "$file" ] || say settings "$(base64 -w 0 <"$file")"
}

# put writes a file of root's, whole or not at all.
put() {
	mkdir -p "$(dirname "$1")" && printf %s "$2" | base64 -d >"$1.rondo" && chmod "$3" "$1.rondo" && mv "$1.rondo" "$1" || die "cannot write $1"
}

serve_engine() {
	mkdir -p -m 0700 /etc/docker/rondo
	put /etc/docker/rondo/ca.pem "$ca" 0600
	put /etc/docker/rondo/cert.pem "$cert" 0600
	put /etc/docker/rondo/key.pem "$key" 0600
	stop_engine
	put "$file" "$settings" 0600
	if by_systemd; then
		(umask 022 && mkdir -p "$(dirname $dropin)")
		put $dropin "$command" 0644
		systemctl daemon-reload || die "systemctl cannot reload"
	else
		put "$state/dockerd.args" "$command" 0600
	fi
	start_engine
}

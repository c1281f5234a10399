// Package guest does what has to be done inside of the machines of package
// vmservice, over SSH.
//
// Its nouns: a [Visitor] is a vmservice.Guest. It enters a machine with the
// machine's own key, tells whether it can take a job, makes its Docker engine
// serve by TLS, and puts the layers of a project under it. A [Visit] is one
// connection, for who runs something there himself.
//
// Machines run the jobs of strangers, as root, so nothing that a machine says
// is trusted: its host key is proved, what is read from it is bounded, and its
// words reach people only as a quotation. What a Visitor does there can be done
// again: a call that was cut short at any point is made once more and ends well.
//
// A machine needs sh, awk, df, base64, flock and timeout as every Debian and
// Ubuntu has them, a Docker engine with its command line, and root by sudo
// without a password where the user is not root. For layers it needs e2fsprogs.
// An engine that systemd runs as docker.service is stopped and started there;
// any other is ended and started again with the arguments that it had.
//
// The package never runs a job's command, and never keeps the key of a
// certificate authority.
package guest

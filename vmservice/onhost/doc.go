// Package onhost boots machines on the host of the server, and keeps volumes in
// its folder.
//
// Its nouns: a [Config] says where and how large; a [Driver] is what the pool of
// package vmservice works with; an image is a tree of Debian, which [BuildImage]
// makes once and all machines share.
//
// A machine is a system container of systemd-nspawn: an init, an SSH server and
// a Docker engine of its own, in namespaces of its own, with an address that
// this host reaches. What it writes is in one file, which goes with it. All that
// the kernel keeps for a machine hangs on its processes, and all of those are in
// one control group: who ends that has ended all. A small shell script, which is
// no child of the server's, keeps the machine, and ends it when its life is over,
// with or without a server.
//
// # What a machine is safe against
//
// Machines reach neither each other, nor the host's own services (but DNS, where
// the host itself answers that), nor containers whose ports the host publishes,
// nor the metadata services of clouds; they see no disk but their own and the
// volumes that were attached to them; memory, processors and disk are bounded.
// The kernel, however, is the host's. Root inside is root of that kernel, with
// the rights that Docker needs (CAP_SYS_ADMIN among them), and without a user
// namespace, in which no volume could be mounted. Whoever is root in a machine,
// and every job is, and means ill, can get at the host: this provider is for code
// of people who may be root on the host as well. It is no place for pull requests
// of strangers.
//
// "docker run --privileged" asks for rights that machines do not have, and is
// refused by the engine in them.
//
// The package keeps no books in memory: what is there is what the folder and the
// kernel say. It never runs a program of a machine outside of it.
package onhost

// Package proxy knows how an installation reaches the network: through which
// HTTP proxies, around them where, and how each program on a machine has to be
// told.
//
// Its nouns: [Settings] are the proxies and the [Rule] list of what is reached
// directly. A [Target] is a form in which programs read them (/etc/environment,
// daemon.json, JVM_OPTS); [Settings.Render] writes it and says what the form
// cannot express. A [Tool] is a program with rules of its own about NO_PROXY;
// [Tool.Verdict] foretells what it does, and tests hold that against the real
// programs.
//
// Loopback and the metadata addresses of clouds are never proxied, whatever
// the settings say: a proxy would answer with its own identity.
//
// The package never changes the environment of its own process, and never
// prints a password of a proxy.
package proxy

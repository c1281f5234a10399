// Package ec2 boots machines and keeps volumes at Amazon EC2.
//
// Its nouns: a [Config] has the fields of the guide's form (section "VM
// service") under the names of the settings; a [Driver] is what the pool of
// package vmservice works with. The books are EC2's own: all that is known of a
// machine is in its tags, so that any server of the installation can go on.
//
// A machine asks for nothing and is trusted with nothing: it has no role, its
// metadata service wants a session token and does not answer containers, its
// user data hold one public key and one token that works once, and it ends by
// itself when nobody ends it.
//
// The package keeps no machine warm, runs no command on one, and ends none that
// lacks the tags of the installation. Package ec2test has an EC2 to test with.
package ec2

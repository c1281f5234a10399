// Package ecr gets the password of a registry of Amazon for the aws_auth of a
// job: one signed call, GetAuthorizationToken, for which no SDK is needed.
//
// Its noun is the [Client]. Keys go to Amazon's own address of the registry's
// region and nowhere else, whatever the image is called. The package keeps
// neither keys nor passwords.
package ecr

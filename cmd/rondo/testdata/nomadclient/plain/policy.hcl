# What the token of the Rondo server may do, and no more. Made by
# rondo nomad client-config.
#
#   nomad acl policy apply rondo policy.hcl
#   nomad acl token create -name rondo -policy rondo -type client
#
# The Secret ID goes into a file, and token: in the chapter nomad of the server's
# settings names it. A token that is replaced there counts at once.
# rondo-server serve --check --online says which right is missing.
namespace "default" {
  capabilities = ["list-jobs", "read-job", "submit-job", "dispatch-job", "read-logs", "alloc-lifecycle"]
}

# To see the clients, and to drain them.
node {
  policy = "write"
}

# All that Certflow's worker needs, and nothing more. Change `secret` and `certflow` where CERTFLOW_VAULT_MOUNT and
# CERTFLOW_VAULT_PREFIX say otherwise:  vault policy write certflow-worker worker.hcl

# Logins of SCM accounts. `create` and `update` are for `python -m deployments connect`.
path "secret/data/certflow/accounts/*"     { capabilities = ["create", "update", "read"] }
path "secret/metadata/certflow/accounts/*" { capabilities = ["read", "list"] }

# Keys are written once and never changed, listed to find the key of an imported certificate, deleted on wish with their order.
path "secret/data/certflow/keys/*"         { capabilities = ["create", "read"] }
path "secret/metadata/certflow/keys/*"     { capabilities = ["read", "list", "delete"] }

# Keystore passwords that users bring.
path "secret/data/certflow/passwords/*"    { capabilities = ["read"] }

# What consumers read. Versions with the key of a revoked certificate are destroyed.
path "secret/data/certflow/live/*"         { capabilities = ["create", "update", "read"] }
path "secret/metadata/certflow/live/*"     { capabilities = ["read", "list"] }
path "secret/destroy/certflow/live/*"      { capabilities = ["update"] }

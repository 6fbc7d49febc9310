# Who connects SCM accounts with `python -m deployments connect`: writes logins, reads none, and has nothing else of Certflow's.
path "secret/data/certflow/accounts/*"     { capabilities = ["create", "update"] }
path "secret/metadata/certflow/accounts/*" { capabilities = ["read", "list"] }

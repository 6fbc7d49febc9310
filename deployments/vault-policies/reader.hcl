# A consumer of certificates: reads what is live, and nothing else. Narrow it to one name where one server needs one certificate:
# path "secret/data/certflow/live/www.example.com"
path "secret/data/certflow/live/*" { capabilities = ["read"] }

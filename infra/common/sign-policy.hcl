# All that signing with the key `release` of the Transit engine at `transit` takes:
#   bao policy write slipway-sign sign-policy.hcl
# Verifying takes the second rule alone, and none where the public key is in a file.
path "transit/sign/release" { capabilities = ["update"] }
path "transit/keys/release" { capabilities = ["read"] }

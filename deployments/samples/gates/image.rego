# What every image must be. Try it: slipway release DIRECTORY --gate policy:image.rego
package main

deny contains {"id": "user", "msg": sprintf("%s runs as root", [each.platform])} if {
	some each in input.platforms
	each.user in {"", "0", "root", "0:0", "root:root"}
}

deny contains {"id": "source-label", "msg": sprintf("%s does not say its version", [each.platform])} if {
	some each in input.platforms
	not each.labels["org.opencontainers.image.version"]
}

# Only images with an SBOM have packages.
deny contains {"id": sprintf("licence-%s", [package.name]), "msg": sprintf("%s is under %s", [package.name, licence])} if {
	some each in input.platforms
	each.packages != null
	some package in each.packages
	some licence in package.licences
	licence in {"AGPL-3.0-only", "SSPL-1.0"}
}

warn contains {"id": "size", "msg": sprintf("it has %d MB", [round(input.size / 1000000)])} if input.size > 200000000

warn contains {"id": "privileged-port", "msg": sprintf("%s is below 1024", [port])} if {
	some each in input.platforms
	some port in each.ports
	to_number(split(port, "/")[0]) < 1024
}

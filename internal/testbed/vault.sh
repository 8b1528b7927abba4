#!/bin/sh
# Builds a HashiCorp Vault for make test-vault into the folder $1, once. It takes about nine minutes of one's time, 6 GB of memory
# and 20 GB of the disk. The server is under the Business Source License: it is a tool of the tests, and no part of glia.
set -e
version=v1.21.0
mkdir -p "$1/src"
[ -x "$1/vault-$version" ] && exit 0
cd "$1/src"
[ -e go.mod ] || ${GO:-go} mod init vault-for-tests
${GO:-go} get -tool github.com/hashicorp/vault@$version
${GO:-go} build -o "$1/vault-$version" github.com/hashicorp/vault

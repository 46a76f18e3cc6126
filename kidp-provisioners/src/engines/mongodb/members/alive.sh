#!/bin/bash
# Succeeds when the server answers, whatever it is.
set -euo pipefail
. /etc/mongod/ask.sh

[ "$(what_is "$POD_IP")" != away ]

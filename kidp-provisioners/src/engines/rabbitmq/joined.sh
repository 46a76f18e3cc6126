#!/bin/bash
# Succeeds when this node is usable and a member of one cluster of NODES nodes. Members count, whether they are up or
# not: a node that comes back while another is away is as good as it can be.
set -euo pipefail

bash /etc/rabbitmq/ready.sh
members=$(rabbitmqctl --quiet cluster_status --formatter json \
    | tr -d '\n' | sed -n 's/.*"disk_nodes":\[\([^]]*\)\].*/\1/p' | tr ',' '\n' | grep -c '"rabbit@')
[ "$members" -ge "$NODES" ] || { echo "$members of $NODES nodes are in this cluster"; exit 1; }

#!/bin/sh
# Starts this member's Sentinel. What it knows and what it voted for is on the volume, where Sentinel keeps it itself:
# without it, it could vote twice in an epoch and forget who the master is. Settings are written anew at each start.
set -eu
umask 0077
state=/data/kidp/sentinel.conf
new=$state.new
members=$(cat /run/kidp/members)

kept='^sentinel (myid|monitor|config-epoch|leader-epoch|current-epoch|known-replica|known-sentinel) '
{ [ ! -e "$state" ] || grep -E "$kept" "$state" || true; } > "$new"
# The first master of a set that never had one.
grep -q '^sentinel monitor ' "$new" || echo "sentinel monitor $MASTER_NAME ${MEMBERS%% *}.$DOMAIN 6379 2" >> "$new"
cat >> "$new" <<END
port 26379
dir /data/kidp
logfile ""
aclfile /run/kidp/sentinel.acl
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $POD_NAME.$DOMAIN
sentinel sentinel-user members
sentinel sentinel-pass $members
sentinel auth-user $MASTER_NAME members
sentinel auth-pass $MASTER_NAME $members
sentinel down-after-milliseconds $MASTER_NAME 5000
sentinel failover-timeout $MASTER_NAME 15000
sentinel parallel-syncs $MASTER_NAME 1
END
sync "$new"
mv "$new" "$state"
exec redis-sentinel "$state"

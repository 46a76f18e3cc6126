#!/bin/sh
# Before a member stops: a master lets its replicas catch up and has its Sentinel promote one of them, so that no write
# that was acknowledged is lost. Writes wait meanwhile. Where that is not possible, it stops all the same.
set -u
REDISCLI_AUTH=$(cat /run/kidp/members)
export REDISCLI_AUTH
redis() { timeout 3 redis-cli --user members -h 127.0.0.1 "$@" 2> /dev/null; }
info() { redis info replication | tr -d '\r'; }
master() { redis -p 26379 sentinel get-master-addr-by-name "$MASTER_NAME" | head -n 1; }

# Whether replicas are there, and all of them have everything.
caught_up() {
    offset=$(echo "$state" | sed -n 's/^master_repl_offset://p')
    online=$(echo "$state" | grep -c '^slave[0-9]*:.*state=online')
    equal=$(echo "$state" | grep -c "^slave[0-9]*:.*state=online,offset=$offset,")
    [ "$online" -gt 0 ] && [ "$online" = "$equal" ]
}

# How many replicas its Sentinel knows, and how many of them it can tell of a new master. One that has come back at a new
# address is reached after 15 s, Sentinel's shortest time to connect again.
known() { redis -p 26379 sentinel replicas "$MASTER_NAME" | grep -A 1 '^flags$' | grep -c 'slave'; }
reached() { redis -p 26379 sentinel replicas "$MASTER_NAME" | grep -A 1 '^flags$' | grep -c '^slave$'; }

state=$(info)
case $state in
    *role:master*state=online*) ;;
    *) exit 0 ;;
esac
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ "$(known)" != "$(reached)" ] || break
    sleep 1
done
redis client pause 30000 write > /dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    caught_up && break
    sleep 0.5
    state=$(info)
done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    case $state in
        *role:master*state=online*) ;;
        # It is no master any more, or alone.
        *) break ;;
    esac
    if [ "$(master)" != "$POD_NAME.$DOMAIN" ]; then
        # The other Sentinels hear of it every two seconds.
        sleep 3
        exit 0
    fi
    # Refused while one is going on.
    redis -p 26379 sentinel failover "$MASTER_NAME" > /dev/null
    sleep 1
    state=$(info)
done
exit 0

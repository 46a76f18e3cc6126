#!/bin/sh
# Runs before a node, with its environment. What it writes is in the pod's own folder and ends with it.
set -eu

# The secret that nodes and the tools beside them know each other by. It is made from the instance's password, so that
# all members have the same one and no client is handed it.
umask 077
{ printf 'kidp erlang cookie: '; cat /etc/kidp/connection/password; } | sha256sum | cut -c 1-64 > "$HOME/.erlang.cookie"
chmod 600 "$HOME/.erlang.cookie"

# A node looks itself up by its name when it starts, and ends when it is not found. The record follows the pod's
# address by a moment.
until getent ahosts "${RABBITMQ_NODENAME#*@}" | grep -q "^$POD_IP "; do
    echo "waiting for ${RABBITMQ_NODENAME#*@} to be $POD_IP in DNS"
    sleep 1
done

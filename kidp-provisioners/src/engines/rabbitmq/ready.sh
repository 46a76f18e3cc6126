#!/bin/bash
# Succeeds when a client can use this node: logs in over AMQP with the instance's password, opens its virtual host and
# closes the connection again. In bash, since a tool of RabbitMQ's starts an Erlang machine each time, which takes a
# second of CPU. Frames: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, section 4.2.
set -euo pipefail

folder=/etc/kidp/connection
read -r -d '' user < "$folder/username" || true
read -r -d '' password < "$folder/password" || true
exec 3<> /dev/tcp/127.0.0.1/5672

# Reads N bytes as decimal numbers.
bytes() { dd bs=1 count="$1" <&3 2> /dev/null | od -An -v -tu1 | tr -s '\n' ' '; }

# Reads a frame, which must be of the given class and method.
expect() {
    local header method
    read -r -a header <<< "$(bytes 7)"
    read -r -a method <<< "$(bytes 4)"
    bytes $(((header[3] << 24) + (header[4] << 16) + (header[5] << 8) + header[6] - 3)) > /dev/null
    if [ "${header[0]} ${method[1]} ${method[3]}" != "1 $1 $2" ]; then
        echo "expected method $1.$2, got frame ${header[*]} with ${method[*]}"
        exit 1
    fi
}

# A number of four bytes, as printf writes it.
long() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }

# Sends a method on channel 0; its bytes are written as printf reads them, SIZE is how many they are.
send() { printf "\x01\x00\x00$(long "$1")$2\xce" >&3; }

printf 'AMQP\x00\x00\x09\x01' >&3
expect 10 10 # start
response=$((2 + ${#user} + ${#password}))
send $((24 + response)) "\x00\x0a\x00\x0b$(long 0)\x05PLAIN$(long "$response")\x00$user\x00$password\x05en_US"
expect 10 30 # tune
send 12 "\x00\x0a\x00\x1f\x00\x01\x00\x00\x20\x00\x00\x00"
send 8 "\x00\x0a\x00\x28\x01/\x00\x00" # open the virtual host /
expect 10 41
send 11 "\x00\x0a\x00\x32\x00\xc8\x00\x00\x00\x00\x00"
expect 10 51 # closed

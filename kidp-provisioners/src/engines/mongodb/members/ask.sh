#!/bin/bash
# Functions with which a member asks others, and itself, what they are: the command `hello` over the wire protocol, which
# needs no login. In bash, since MongoDB's shell takes a second of CPU to start. Message: 16 bytes of header, flags, and
# {hello: 1, $db: "admin"}; https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg

# What a server answers, as far as it is printable; a true value is written as 01.
hello() {
    timeout 3 bash -c '
        exec 3<> "/dev/tcp/$0/$1"
        header="\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00"
        document="\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02\$db\x00\x06\x00\x00\x00admin\x00\x00"
        printf "$header\x00\x00\x00\x00\x00$document" >&3
        read -r -a size <<< "$(dd bs=1 count=4 <&3 2> /dev/null | od -An -v -tu1)"
        dd bs=1 count=$((size[0] + (size[1] << 8) - 4)) <&3 2> /dev/null | tr "\000\001" "01" | tr -cd "[:print:]"
    ' "$1" "${PORT:-27017}" 2> /dev/null
}

# What a server is, in a word: primary, secondary, syncing (of a set, and neither), uninitiated (would be of one), alone
# (of none), or away.
what_is() {
    local answer
    answer=$(hello "$1") || true
    case $answer in
        *isreplicaset01*) echo uninitiated ;;
        *setName*isWritablePrimary01*) echo primary ;;
        *setName*secondary01*) echo secondary ;;
        *setName*) echo syncing ;;
        *isWritablePrimary01*) echo alone ;;
        *) echo away ;;
    esac
}

#!/bin/sh
# MongoDB's own shell, from its npm package.
exec node /opt/mongosh/node_modules/mongosh/bin/mongosh.js "$@"

// Succeeds when the instance's login works and its database is open to it. A script, so that the password is in no
// argument.
const fs = require('fs');
const read = (name) => fs.readFileSync(`/etc/kidp/connection/${name}`, 'utf8');
db.getSiblingDB('admin').auth(read('username'), read('password'));
const answer = db.getSiblingDB(read('database')).runCommand({ listCollections: 1, nameOnly: true });
if (answer.ok !== 1) {
  print(answer);
  quit(1);
}

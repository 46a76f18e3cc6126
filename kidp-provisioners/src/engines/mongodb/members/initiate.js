// Makes the set of all members. A script, so that the password is in no argument.
const fs = require('fs');
const read = (name) => fs.readFileSync(`/etc/kidp/connection/${name}`, 'utf8');
const { MEMBERS, DOMAIN, SET_NAME } = process.env;
const admin = db.getSiblingDB('admin');
admin.auth(read('username'), read('password'));
const members = MEMBERS.split(' ').map((name, _id) => ({ _id, host: `${name}.${DOMAIN}:27017` }));
const answer = admin.runCommand({ replSetInitiate: { _id: SET_NAME, members } });
// 23: it is made already.
if (answer.ok !== 1 && answer.code !== 23) {
  print(answer);
  quit(1);
}

#!/usr/bin/env node
// Reads mongod's options, from the command line and from a --config file, and prints what FerretDB shall do, as lines
// of KEY=VALUE. An option that mongod does not have is an error, as it is there; one that FerretDB cannot honour is
// accepted and noted.
'use strict';
const fs = require('fs');
const yaml = require('/opt/mongosh/node_modules/js-yaml');

// Options and the place of each in a configuration file; the second list takes no value.
const WITH_VALUE = {
  '--bind_ip': 'net.bindIp', '--port': 'net.port', '--dbpath': 'storage.dbPath', '--replSet': 'replication.replSetName',
  '--keyFile': 'security.keyFile', '--tlsMode': 'net.tls.mode', '--unixSocketPrefix': 'net.unixDomainSocket.pathPrefix',
  '--tlsCertificateKeyFile': 'net.tls.certificateKeyFile', '--tlsCAFile': 'net.tls.CAFile', '--config': null,
  '--tlsDisabledProtocols': 'net.tls.disabledProtocols', '--clusterAuthMode': 'security.clusterAuthMode',
  '--tlsClusterFile': 'net.tls.clusterFile', '--tlsClusterCAFile': 'net.tls.clusterCAFile',
  '--wiredTigerCacheSizeGB': 'storage.wiredTiger.engineConfig.cacheSizeGB', '--storageEngine': 'storage.engine',
  '--wiredTigerJournalCompressor': 'storage.wiredTiger.engineConfig.journalCompressor',
  '--wiredTigerCollectionBlockCompressor': 'storage.wiredTiger.collectionConfig.blockCompressor',
  '--oplogSize': 'replication.oplogSizeMB', '--maxConns': 'net.maxIncomingConnections', '--logpath': 'systemLog.path',
  '--oplogMinRetentionHours': 'storage.oplogMinRetentionHours', '--setParameter': null, '--profile': null,
  '--slowms': 'operationProfiling.slowOpThresholdMs', '--slowOpSampleRate': 'operationProfiling.slowOpSampleRate',
  '--pidfilepath': 'processManagement.pidFilePath', '--networkMessageCompressors': 'net.compression.compressors',
  '--timeZoneInfo': 'processManagement.timeZoneInfo', '--syncdelay': 'storage.syncPeriodSecs',
  '--enableMajorityReadConcern': 'replication.enableMajorityReadConcern', '--auditDestination': 'auditLog.destination',
  '--journalCommitInterval': 'storage.journal.commitIntervalMs',
};
const ALONE = {
  '--bind_ip_all': 'net.bindIpAll', '--ipv6': 'net.ipv6', '--nounixsocket': null, '--auth': 'security.authorization',
  '--noauth': null, '--quiet': 'systemLog.quiet', '--directoryperdb': 'storage.directoryPerDB', '--logappend': null,
  '--tlsAllowConnectionsWithoutCertificates': 'net.tls.allowConnectionsWithoutCertificates', '--verbose': null,
  '--wiredTigerDirectoryForIndexes': 'storage.wiredTiger.engineConfig.directoryForIndexes', '--version': null,
  '--transitionToAuth': 'security.transitionToAuth', '--shardsvr': null, '--configsvr': null, '--help': null,
  '--tlsAllowInvalidCertificates': 'net.tls.allowInvalidCertificates', '--tlsAllowInvalidHostnames': null,
  '--notablescan': 'storage.noTableScan', '--redactClientLogData': 'security.redactClientLogData', '--syslog': null,
  '--stand-in-first-start': null, '--stand-in-print-dbpath': null, '--stand-in-bind-all': null,
};
const SHORT = { '-f': '--config', '-v': '--verbose', '-h': '--help' };
// What has the same effect as in MongoDB.
const HONOURED = new Set([
  '--bind_ip', '--bind_ip_all', '--port', '--dbpath', '--auth', '--noauth', '--config', '--tlsMode', '--help',
  '--tlsCertificateKeyFile', '--tlsCAFile', '--tlsAllowConnectionsWithoutCertificates', '--unixSocketPrefix',
  '--nounixsocket', '--verbose', '--quiet', '--version',
]);
// What has a part of its effect.
const IN_PART = new Map([
  ['--keyFile', 'is checked and turns authentication on; no other member is recognised by it'],
  ['--replSet', 'makes no replica set: there is one server, and it does not say that it belongs to a set'],
]);

function fail(text, status) {
  console.error(text);
  process.exit(status ?? 2);
}

function parse(args) {
  const options = new Map();
  for (let i = 0; i < args.length; i += 1) {
    const [name, inline] = args[i].startsWith('--') ? args[i].split(/=(.*)/s) : [SHORT[args[i]] ?? args[i]];
    if (name in ALONE) {
      options.set(name, 'true');
    } else if (name in WITH_VALUE) {
      const value = inline ?? args[(i += 1)];
      if (value === undefined) fail(`Error parsing command line: the required argument for option '${name}' is missing`);
      options.set(name, value);
    } else {
      fail(`Error parsing command line: unrecognised option '${args[i]}'`);
    }
  }
  return options;
}

// Adds what the file says and the command line does not.
function readConfig(path, options) {
  let document;
  try {
    document = yaml.load(fs.readFileSync(path, 'utf8')) ?? {};
  } catch (error) {
    fail(`Error opening or parsing config file ${path}: ${error.message}`);
  }
  const places = Object.fromEntries(
    Object.entries({ ...WITH_VALUE, ...ALONE }).filter(([, place]) => place).map(([name, place]) => [place, name]));
  const walk = (value, place) => {
    const name = places[place];
    if (name) {
      const off = value === false || value === 'disabled';
      if (!options.has(name) && !(name in ALONE && off)) options.set(name, String(value));
    } else if (value && typeof value === 'object' && !Array.isArray(value)) {
      for (const [key, child] of Object.entries(value)) walk(child, place ? `${place}.${key}` : key);
    } else {
      options.set(`${place} (of the configuration file)`, String(value));
    }
  };
  walk(document, '');
}

// mongod's own conditions on a key file, so that a wrong mount fails here as it does there.
function checkKeyFile(path) {
  let stat;
  try {
    stat = fs.statSync(path);
  } catch (error) {
    fail(`Error reading file ${path}: ${error.message}`, 1);
  }
  if (stat.mode & 0o077) fail(`permissions on ${path} are too open`, 1);
  const key = fs.readFileSync(path, 'utf8').replace(/\s/g, '');
  if (key.length < 6 || key.length > 1024) fail(`security key in ${path} has length ${key.length}, must be between 6 and 1024 chars`, 1);
  if (!/^[A-Za-z0-9+/=]*$/.test(key)) fail(`invalid char in key file ${path}`, 1);
}

function listenAddress(options) {
  const port = options.get('--port') ?? '27017';
  const hosts = (options.get('--bind_ip') ?? '').split(',').map((host) => host.trim()).filter(Boolean);
  const all = options.has('--bind_ip_all') || hosts.some((host) => ['*', '0.0.0.0', '::'].includes(host))
    || (hosts.length === 0 && options.has('--stand-in-bind-all'));
  if (all) return `:${port}`;
  const remote = hosts.filter((host) => !['localhost', '127.0.0.1', '::1'].includes(host));
  if (remote.length > 1) return `:${port}`;
  // FerretDB has one address: the one that clients come to. Nobody of the same pod is kept out by that.
  return remote.length === 1 && hosts.length > 1 ? `:${port}` : `${remote[0] ?? '127.0.0.1'}:${port}`;
}

const options = parse(process.argv.slice(2));
if (options.has('--help') || options.has('--version')) {
  console.log('action=print\ntext=db version v7.0 (a stand-in: FerretDB v1.24.2 with SQLite, not MongoDB)');
  process.exit(0);
}
if (options.has('--config')) readConfig(options.get('--config'), options);
if (options.has('--stand-in-first-start')) {
  options.delete('--bind_ip_all');
  options.set('--bind_ip', '127.0.0.1');
}
if (options.has('--keyFile')) checkKeyFile(options.get('--keyFile'));

const plan = [['dbpath', options.get('--dbpath') ?? '/data/db']];
if (options.has('--stand-in-print-dbpath')) plan.push(['action', 'print-dbpath']);
const address = listenAddress(options);
const mode = options.get('--tlsMode') ?? 'disabled';
const certificate = options.get('--tlsCertificateKeyFile');
if (mode !== 'disabled' && !certificate) fail('need tlsCertificateKeyFile when TLS is enabled', 1);
if (mode === 'disabled' && certificate) fail('need to enable TLS via the tlsMode flag when using TLS configuration parameters', 1);
const tls = mode !== 'disabled' && !options.has('--stand-in-first-start');
if (tls && mode !== 'requireTLS') fail(`stand-in: FerretDB cannot serve plain and TLS clients on one port; tlsMode ${mode} is refused`, 1);
plan.push(['listen', tls ? '' : address]);
if (tls) {
  plan.push(['tls', address], ['certificate', certificate]);
  if (!options.has('--tlsAllowConnectionsWithoutCertificates')) plan.push(['ca', options.get('--tlsCAFile') ?? '']);
}
const prefix = options.get('--unixSocketPrefix') ?? '/tmp';
let socket = options.has('--nounixsocket') ? '' : `${prefix}/mongodb-${options.get('--port') ?? '27017'}.sock`;
try {
  if (socket) fs.accessSync(prefix, fs.constants.W_OK);
  if (socket) fs.rmSync(socket, { force: true });
} catch {
  socket = '';
}
plan.push(['socket', socket]);
plan.push(['log-level', options.has('--verbose') ? 'debug' : 'warn']);
if ((options.has('--auth') || options.has('--keyFile')) && !options.has('--noauth')) plan.push(['auth', 'yes']);
if (options.has('--stand-in-first-start')) plan.push(['first-start', 'yes']);
for (const name of options.keys()) {
  if (HONOURED.has(name) || name.startsWith('--stand-in-')) continue;
  plan.push(['note', `${name} ${IN_PART.get(name) ?? 'is accepted and has no effect'}`]);
}
for (const [key, value] of plan) {
  if (/[\r\n]/.test(value)) fail(`a line break in the value of ${key}`);
  console.log(`${key}=${value}`);
}

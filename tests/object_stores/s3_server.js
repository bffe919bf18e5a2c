// An S3 server for tests: s3rver keeps the objects; in front of it every request's Signature Version 4 (recomputed with aws4)
// and payload hash is checked, which s3rver does not do. Also plays the token endpoint of a Google service account, and fails
// on request. Writes one line of JSON with its port and credentials when it listens.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const aws4 = require('aws4');
const S3rver = require('s3rver');

const credentials = { accessKeyId: 'kalam-access-key', secretAccessKey: 'kalam+secret/key' };
const sessionToken = 'kalam-session-token';
const serviceAccount = 'kalam@example.iam.gserviceaccount.com';
const { publicKey, privateKey } = crypto.generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const tokens = new Set();
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kalam-s3-'));
let faults = []; // of the next requests: a status, 'reset' or 'hang'
let counts = { requests: 0, parts: 0 };
let port = 0;

function refuse(response, status, code) {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${credentials.accessKeyId}</Message></Error>`);
}

// The signature that the official algorithm gives for what was received.
function signatureProblem(request, body) {
  const given = request.headers.authorization || '';
  if (given.startsWith('Bearer ')) return tokens.has(given.slice(7)) ? '' : 'InvalidToken';
  const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$/
    .exec(given);
  if (!match) return 'AccessDenied';
  const [, accessKeyId, , region, names] = match;
  if (accessKeyId !== credentials.accessKeyId) return 'InvalidAccessKeyId';
  if (!names.split(';').includes('host')) return 'AccessDenied';
  const token = request.headers['x-amz-security-token'];
  if (token !== undefined && token !== sessionToken) return 'InvalidToken';
  const hash = crypto.createHash('sha256').update(body).digest('hex');
  if (request.headers['x-amz-content-sha256'] !== hash) return 'XAmzContentSHA256Mismatch';
  const headers = {};
  for (const name of names.split(';')) headers[name] = request.headers[name];
  const signed = aws4.sign({ service: 's3', region, method: request.method, path: request.url, host: headers.host, headers },
    { ...credentials });
  return signed.headers.Authorization === given ? '' : 'SignatureDoesNotMatch';
}

function giveToken(body, response) {
  const form = new URLSearchParams(body.toString());
  const [header, claims, signature] = (form.get('assertion') || '').split('.');
  const verified = form.get('grant_type') === 'urn:ietf:params:oauth:grant-type:jwt-bearer' && signature &&
    crypto.createVerify('RSA-SHA256').update(`${header}.${claims}`).verify(publicKey, signature, 'base64url');
  const claim = verified ? JSON.parse(Buffer.from(claims, 'base64url')) : {};
  const now = Date.now() / 1000;
  const good = verified && JSON.parse(Buffer.from(header, 'base64url')).alg === 'RS256' && claim.iss === serviceAccount &&
    claim.aud === `http://127.0.0.1:${port}/token` && claim.iat <= now + 5 && claim.exp > now && claim.scope;
  response.writeHead(good ? 200 : 400, { 'content-type': 'application/json' });
  if (!good) return response.end('{"error":"invalid_grant"}');
  const token = crypto.randomBytes(16).toString('hex');
  tokens.add(token);
  response.end(JSON.stringify({ access_token: token, expires_in: 61, token_type: 'Bearer' }));
}

function forward(request, body, response, inner) {
  const headers = { ...request.headers };
  delete headers.authorization;
  for (const name of Object.keys(headers)) if (name.startsWith('x-amz-')) delete headers[name];
  const onward = http.request({ host: '127.0.0.1', port: inner, method: request.method, path: request.url, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => refuse(response, 500, 'InternalError'));
  onward.end(body);
}

// The files of s3rver that hold the bytes of objects whose names begin with `prefix` (bucket/path).
function objectFiles(prefix) {
  const ending = '._S3rver_object';
  return fs.readdirSync(directory, { recursive: true }).map(String).filter((name) => name.endsWith(ending))
    .map((name) => ({ name: name.slice(0, -ending.length), file: path.join(directory, name) }))
    .filter(({ name }) => name.startsWith(prefix));
}

// What a disk below a real store might do: one bit of each object changes, or the objects are gone.
function harm(how, prefix) {
  const found = objectFiles(prefix);
  for (const { file } of found) {
    if (how === '/_lose') {
      for (const part of ['object', 'metadata.json', 'object.md5']) {
        fs.rmSync(file.replace(/object$/, part), { force: true });
      }
    } else if (how === '/_flip') {
      const bytes = fs.readFileSync(file);
      bytes[bytes.length >> 1] ^= 4;
      fs.writeFileSync(file, bytes);
    }
  }
  return found.map(({ name }) => name);
}

function control(request, body, response) {
  const given = JSON.parse(body.toString());
  if (request.url === '/_faults') faults = given;
  const names = ['/_lose', '/_flip', '/_list'].includes(request.url) ? harm(request.url, given) : undefined;
  response.end(JSON.stringify(names || counts));
}

async function main() {
  const inner = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory,
    configureBuckets: [{ name: 'kalam' }, { name: 'second' }] });
  const { port: innerPort } = await inner.run();
  const front = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      if (request.url.startsWith('/_')) return control(request, body, response);
      counts.requests += 1;
      const fault = faults.shift();
      if (fault === 'reset') return request.socket.destroy();
      if (fault === 'hang') return undefined;
      if (fault) return refuse(response, fault, 'SlowDown');
      if (request.url === '/token') return giveToken(body, response);
      const problem = signatureProblem(request, body);
      if (problem) return refuse(response, 403, problem);
      if (request.url.includes('partNumber=')) counts.parts += 1;
      return forward(request, body, response, innerPort);
    });
  });
  front.listen(0, '127.0.0.1', () => {
    port = front.address().port;
    console.log(JSON.stringify({ port, ...credentials, sessionToken, serviceAccount, privateKey }));
  });
  process.on('SIGTERM', () => {
    fs.rmSync(directory, { recursive: true, force: true });
    process.exit(0);
  });
}

main();

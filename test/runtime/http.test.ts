// The desk's HTTP side over real sockets: who gets in, what is refused, what a refusal gives away.
import { createServer, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import { type HttpServer, startHttp } from '../../runtime/http.ts';

const TOKEN = 'a'.repeat(64);
const ANSWER = {
  columns: ['a', 'b,"c'],
  types: ['INTEGER', 'VARCHAR'],
  rows: [
    [1, 'x\ny'],
    [null, ''],
  ],
  truncated: false,
  elapsedMs: 1,
};

let server: HttpServer;
let asked: string[];
let isReady = true;
beforeEach(async () => {
  asked = [];
  isReady = true;
  server = await startHttp({
    address: { host: '127.0.0.1', port: 0 },
    mayMove: false,
    token: TOKEN,
    metrics: async () => '# HELP x X.\n# TYPE x counter\nx 1\n',
    readiness: () => ({ isReady, line: 'ready', desk: isReady ? 'ready' : 'catching-up' }),
    query: {
      async run(sql) {
        asked.push(sql);
        if (sql === 'bad') throw new MillraceError('E_QUERY', 'Parser Error: near bad');
        if (sql === 'broken') throw new Error('secret internal /path/to/file');
        return ANSWER;
      },
    },
  });
});
afterEach(() => server.close());

interface Reply {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** node:http, because fetch does not let us lie about the host. */
function call(method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { host, port } = server.address;
    const req = request({ host, port, method, path, headers }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text }));
    });
    req.on('error', reject).end(body);
  });
}

const good = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
const sql = (text: unknown, more: object = {}): string => JSON.stringify({ sql: text, ...more });

describe('open routes', () => {
  it('healthz, readyz and metrics answer without a token, and nothing may be kept or framed', async () => {
    expect(await call('GET', '/healthz')).toMatchObject({ status: 200, body: '{"status":"alive"}' });
    expect(JSON.parse((await call('GET', '/readyz')).body)).toEqual({ status: 'ready', line: 'ready', desk: 'ready' });
    const metrics = await call('GET', '/metrics');
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(metrics.body).toContain('x 1\n');
    for (const { headers } of [metrics, await call('GET', '/nowhere'), await call('POST', '/query')])
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      });
    expect(metrics.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('readyz is 503 until all is ready', async () => {
    isReady = false;
    expect(await call('GET', '/readyz')).toMatchObject({ status: 503, body: '{"status":"not ready","line":"ready","desk":"catching-up"}' });
  });
});

describe('query', () => {
  it('answers as JSON and as CSV', async () => {
    expect(await call('POST', '/query', good, sql('SELECT 1'))).toMatchObject({ status: 200, body: JSON.stringify(ANSWER) });
    const csv = await call('POST', '/query', good, sql('SELECT 1', { format: 'csv' }));
    expect(csv).toMatchObject({ status: 200, body: 'a,"b,""c"\r\n1,"x\ny"\r\n,""\r\n' });
    expect(csv.headers).toMatchObject({ 'content-type': 'text/csv; charset=utf-8', 'x-truncated': 'false' });
    expect(asked).toEqual(['SELECT 1', 'SELECT 1']);
  });

  it('hands on what the runner refuses, and nothing of what breaks inside', async () => {
    const refused = await call('POST', '/query', good, sql('bad'));
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.body)).toEqual({ code: 'E_QUERY', message: 'E_QUERY: Parser Error: near bad', fix: expect.any(String) });
    const broken = await call('POST', '/query', good, sql('broken'));
    expect(broken.status).toBe(500);
    expect(broken.body).not.toMatch(/secret|path|stack|\.ts/);
  });

  const withoutToken = { 'content-type': 'application/json' };
  it.each<[string, number, Record<string, string>, string?]>([
    ['no token', 401, withoutToken],
    ['a wrong token', 401, { ...good, authorization: `Bearer ${'b'.repeat(64)}` }],
    ['a part of the token', 401, { ...good, authorization: `Bearer ${TOKEN.slice(1)}` }],
    ['the token and more', 401, { ...good, authorization: `Bearer ${TOKEN}a` }],
    ['an empty token', 401, { ...good, authorization: 'Bearer ' }],
    ['another scheme', 401, { ...good, authorization: `Basic ${TOKEN}` }],
    ['the bare token', 401, { ...good, authorization: TOKEN }],
    ['the token as a cookie', 401, { ...withoutToken, cookie: `token=${TOKEN}` }],
    ['no content type', 415, { authorization: good.authorization }],
    ['a form', 415, { ...good, 'content-type': 'application/x-www-form-urlencoded' }],
    ['plain text', 415, { ...good, 'content-type': 'text/plain' }],
    ['almost JSON', 415, { ...good, 'content-type': 'application/jsonx' }],
    ['a charset is fine', 200, { ...good, 'content-type': 'application/json; charset=utf-8' }],
    ['a foreign host', 403, { ...good, host: 'evil.test' }],
    ['a foreign host with our port', 403, { ...good, host: 'evil.test:80' }],
    ['a host that begins like ours', 403, { ...good, host: '127.0.0.1.evil.test' }],
    ['localhost', 200, { ...good, host: 'localhost:1' }],
    ['IPv6 loopback', 200, { ...good, host: '[::1]:1' }],
    ['a foreign origin', 403, { ...good, origin: 'http://evil.test' }],
    ['a null origin', 403, { ...good, origin: 'null' }],
    ['another port’s origin', 403, { ...good, host: 'localhost:1', origin: 'http://localhost:2' }],
    ['our origin', 200, { ...good, host: 'localhost:1', origin: 'http://localhost:1', 'sec-fetch-site': 'same-origin' }],
    ['cross-site', 403, { ...good, 'sec-fetch-site': 'cross-site' }],
    ['same-site', 403, { ...good, 'sec-fetch-site': 'same-site' }],
    ['the address bar', 200, { ...good, 'sec-fetch-site': 'none' }],
    ['no JSON', 400, good, '{"sql": '],
    ['a list', 400, good, '[]'],
    ['null', 400, good, 'null'],
    ['no sql', 400, good, '{}'],
    ['sql that is no text', 400, good, sql(1)],
    ['an unknown format', 400, good, sql('SELECT 1', { format: 'xml' })],
    ['a body of 2 MiB', 413, good, sql('x'.repeat(2 << 20))],
    ['deep nesting', 400, good, `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['names of Object.prototype', 400, good, '{"__proto__":{"sql":"SELECT 1"},"constructor":{"prototype":{"polluted":1}}}'],
  ])('%s → %i', async (_, status, headers, body = sql('SELECT 1')) => {
    const reply = await call('POST', '/query', headers, body);
    expect(reply.status).toBe(status);
    expect(asked.length).toBe(status === 200 ? 1 : 0);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(reply.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('GET and the rest of the methods are told to POST; a preflight gets no permission', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const reply = await call(method, '/query', good);
      expect(reply.status, method).toBe(405);
      expect(reply.headers).not.toHaveProperty('access-control-allow-methods');
    }
    expect((await call('GET', '/../etc/passwd')).status).toBe(404);
  });

  it('the host list holds on every route', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics', '/nowhere'])
      expect((await call('GET', path, { host: 'evil.test' })).status).toBe(403);
  });
});

describe('port', () => {
  it('a taken one is named, or another is found', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const port = (other.address() as { port: number }).port;
    const start = (mayMove: boolean) =>
      startHttp({
        address: { host: '127.0.0.1', port },
        mayMove,
        token: TOKEN,
        metrics: async () => '',
        readiness: () => ({ isReady: true, line: '', desk: '' }),
        query: { run: async () => ANSWER },
      });
    await expect(start(false)).rejects.toThrow(`E_CONFIG: HTTP port ${port} on 127.0.0.1 is taken`);
    const moved = await start(true);
    expect(moved.address.port).not.toBe(port);
    await moved.close();
    await new Promise((resolve) => other.close(resolve));
  });
});

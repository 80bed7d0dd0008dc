// The desk's HTTP side on the loopback interface: health, metrics, and one SELECT for whoever has the token.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { type ErrorCode, MillraceError } from '../engine/errors.ts';
import type { QueryRunner } from '../sinks/query.ts';
import type { Address } from './messages.ts';
import { rowsText } from './tableText.ts';

/** Longest request body. Unit: bytes. */
const BODY_BYTES_MAX = 1 << 20;
/** How long open connections may finish when the server closes. Unit: ms. */
const CLOSE_MS_MAX = 1_000;

export interface HttpOptions {
  readonly address: Address;
  /** True: when the port is taken, any free one will do. */
  readonly mayMove: boolean;
  /** What POST /query wants as bearer token. */
  readonly token: string;
  readonly query: QueryRunner;
  /** All metrics in Prometheus' text form. */
  readonly metrics: () => Promise<string>;
  /** Whether line and desk do their work, and in what state each is. */
  readonly readiness: () => { readonly isReady: boolean; readonly line: string; readonly desk: string };
}

export interface HttpServer {
  readonly address: Address;
  close(): Promise<void>;
}

/**
 * Starts to listen.
 *
 * Routes  GET /healthz · GET /readyz · GET /metrics · POST /query {sql, format?: 'json' | 'csv'} with `Authorization: Bearer TOKEN`
 * Errors  E_CONFIG when the port is taken
 */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { address, mayMove } = options;
  const app = makeApp(options);
  const server = await listen(app, address).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE' && mayMove) return listen(app, { ...address, port: 0 });
    throw portError(error, address);
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return { address: { host: address.host, port }, close: () => close(server) };
}

/** The routes, without a socket. */
function makeApp({ address, token, query, metrics, readiness }: HttpOptions): Hono {
  const app = new Hono();
  app.use(secureHeaders, allowHosts(address.host), sameSite);
  app.get('/healthz', (c) => c.json({ status: 'alive' }));
  app.get('/readyz', (c) => {
    const { isReady, line, desk } = readiness();
    return c.json({ status: isReady ? 'ready' : 'not ready', line, desk }, isReady ? 200 : 503);
  });
  app.get('/metrics', async (c) => c.text(await metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }));
  const limit = bodyLimit({
    maxSize: BODY_BYTES_MAX,
    onError: (c) => refuse(c, 413, 'E_QUERY', `a request may have ${BODY_BYTES_MAX} bytes`),
  });
  app.post('/query', bearer(token), jsonOnly, limit, (c) => answerQuery(c, query));
  app.on(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'], '/query', (c) => refuse(c, 405, 'E_QUERY', 'use POST', { allow: 'POST' }));
  app.notFound((c) => refuse(c, 404, 'E_USAGE', 'there are GET /healthz, /readyz, /metrics and POST /query'));
  app.onError((_, c) => refuse(c, 500, 'E_ASSERT', 'the request failed inside millrace'));
  return app;
}

async function answerQuery(c: Context, query: QueryRunner): Promise<Response> {
  let body: unknown;
  try {
    body = JSON.parse(await c.req.text());
  } catch {
    return refuse(c, 400, 'E_QUERY', 'the body is not JSON; send {"sql": "SELECT …"}');
  }
  const { sql, format = 'json' } = (typeof body === 'object' && body !== null ? body : {}) as { sql?: unknown; format?: unknown };
  if (typeof sql !== 'string') return refuse(c, 400, 'E_QUERY', 'sql is missing or no text; send {"sql": "SELECT …"}');
  if (format !== 'json' && format !== 'csv') return refuse(c, 400, 'E_QUERY', "format must be 'json' or 'csv'");
  try {
    const result = await query.run(sql);
    if (format === 'json') return c.json(result);
    return c.text(rowsText('csv', result), 200, { 'content-type': 'text/csv; charset=utf-8', 'x-truncated': String(result.truncated) });
  } catch (error) {
    if (error instanceof MillraceError) return refuse(c, 400, error.code, error.message, {}, error.fix);
    throw error;
  }
}

/** Nothing here is for a browser to keep, to guess at or to put in a frame. */
const secureHeaders: MiddlewareHandler = async (c, next) => {
  await next();
  c.header('x-content-type-options', 'nosniff');
  c.header('cache-control', 'no-store');
  c.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
};

/** A page of somebody else's whose name was pointed at this machine sends that name as host. */
function allowHosts(own: string): MiddlewareHandler {
  const allowed = new Set(['localhost', '127.0.0.1', '[::1]', own.includes(':') ? `[${own}]` : own]);
  return async (c, next) => {
    const host = (c.req.header('host') ?? '').toLowerCase().replace(/:\d{1,5}$/, '');
    if (!allowed.has(host)) return refuse(c, 403, 'E_USAGE', 'this host name is not served');
    return next();
  };
}

/** Browsers say where a request comes from; only the address bar and pages of this very origin may ask. */
const sameSite: MiddlewareHandler = async (c, next) => {
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    return refuse(c, 403, 'E_USAGE', 'requests of other sites are not served');
  const origin = c.req.header('origin');
  if (origin !== undefined && origin !== `http://${c.req.header('host') ?? ''}`)
    return refuse(c, 403, 'E_USAGE', 'requests of other origins are not served');
  return next();
};

/** Compares hashes, so that neither length nor content of the token shows in the time it takes. */
function bearer(token: string): MiddlewareHandler {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = hash(token);
  return async (c, next) => {
    const given = /^Bearer +([\x21-\x7e]+)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? '';
    if (token !== '' && timingSafeEqual(hash(given), expected)) return next();
    return refuse(c, 401, 'E_QUERY', "send the data folder's token: Authorization: Bearer TOKEN", { 'www-authenticate': 'Bearer' });
  };
}

/** A form or a script of another site cannot send this type without asking first, and is never allowed then. */
const jsonOnly: MiddlewareHandler = async (c, next) => {
  if (/^application\/json(?: *;.*)?$/i.test(c.req.header('content-type') ?? '')) return next();
  return refuse(c, 415, 'E_QUERY', 'send content-type: application/json');
};

type Status = 400 | 401 | 403 | 404 | 405 | 413 | 415 | 500;

/** An error as JSON: never a stack or a path of ours. */
function refuse(
  c: Context,
  status: Status,
  code: ErrorCode,
  message: string,
  headers: Record<string, string> = {},
  fix?: string,
): Response {
  return c.json({ code, message, ...(fix === undefined ? {} : { fix }) }, status, headers);
}

function listen(app: Hono, { host, port }: Address): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({
      fetch: app.fetch,
      hostname: host,
      port,
      serverOptions: { requestTimeout: 60_000, headersTimeout: 10_000 },
    }) as Server;
    server.once('listening', () => resolve(server));
    server.once('error', reject);
  });
}

function portError(error: NodeJS.ErrnoException, { host, port }: Address): Error {
  if (error.code === 'EADDRINUSE')
    return new MillraceError(
      'E_CONFIG',
      `HTTP port ${port} on ${host} is taken; stop what uses it, or give --http-port another (0: any free one)`,
      { cause: error },
    );
  if (error.code === 'EACCES' || error.code === 'EADDRNOTAVAIL')
    return new MillraceError('E_CONFIG', `HTTP cannot listen on ${host}:${port}: ${error.message}`, { cause: error });
  return error;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

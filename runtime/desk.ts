// The desk: follows the result topics into DuckDB and answers queries, away from the line and its devices.
import { join } from 'node:path';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { shapeReader } from '../codecs/shapeReader.ts';
import { planOf } from '../engine/plan.ts';
import { deskMetrics } from '../sinks/deskMetrics.ts';
import { deskTablesOf } from '../sinks/deskTable.ts';
import { type DuckdbWriter, startDuckdbWriter } from '../sinks/duckdbWriter.ts';
import { queryRunner } from '../sinks/query.ts';
import type { ChildLink, RunningChild } from './child.ts';
import { readToken } from './dataFolder.ts';
import { type HttpServer, startHttp } from './http.ts';
import { killPointFrom } from './killPoint.ts';
import { loadPipelines } from './loadPipeline.ts';
import { makeLogger } from './logger.ts';
import type { DeskSettings } from './messages.ts';
import { openReader } from './openReader.ts';

/** The line sends its metrics each second; after this silence it is not ready. Unit: ms. */
const LINE_SILENT_MS = 5_000;

/** Brings the desk up. What fails later goes to `link.fail`, and the process ends; the log waits. */
export async function startDesk(settings: DeskSettings, link: ChildLink): Promise<RunningChild> {
  const logger = makeLogger({ role: 'desk', level: settings.logLevel, format: settings.logFormat });
  const tables = (await loadPipelines(settings.pipelines)).flatMap(({ pipeline }) => deskTablesOf(planOf(pipeline)));
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'millrace_desk_' });
  const metrics = deskMetrics(registry);
  const line = { text: '', heardAtMs: performance.now() };
  const reader = await openReader(settings.dir);
  let writer: DuckdbWriter | undefined;
  let http: HttpServer | undefined;
  try {
    writer = startDuckdbWriter({
      path: join(settings.dir, 'results.duckdb'),
      tables,
      reader,
      metrics,
      tell: (message) => logger.warn(message),
      rowReader: shapeReader,
      onPoint: killPointFrom(process.env),
    });
    http = await openHttp(
      settings,
      writer,
      metrics,
      async () => line.text + (await registry.metrics()),
      () => line.heardAtMs,
    );
    await writer.opened;
  } catch (error) {
    await Promise.all([http?.close(), writer?.stop().catch(() => {})]);
    await reader.close();
    throw error;
  }
  const running = writer;
  const server = http;
  running.ended.catch((error) => link.fail(error));
  return {
    ready: { kind: 'ready', http: server.address },
    hear(message) {
      if (message.kind === 'metrics') {
        line.text = message.text;
        line.heardAtMs = performance.now();
      } else if (message.kind === 'drain') running.drain().then(() => link.send({ kind: 'drained' }), link.fail);
    },
    async stop() {
      await Promise.all([server.close(), running.stop()]);
      await reader.close();
    },
  };
}

function openHttp(
  settings: DeskSettings,
  writer: DuckdbWriter,
  { queries }: ReturnType<typeof deskMetrics>,
  metrics: () => Promise<string>,
  lineHeardAtMs: () => number,
): Promise<HttpServer> {
  const runner = queryRunner((work) => writer.lend(work));
  return startHttp({
    address: settings.http,
    mayMove: settings.httpPortMayMove,
    token: readToken(settings.dir),
    query: {
      async run(sql) {
        try {
          const result = await runner.run(sql);
          queries.inc({ outcome: 'answered' });
          return result;
        } catch (error) {
          queries.inc({ outcome: 'refused' });
          throw error;
        }
      },
    },
    metrics,
    readiness: () => {
      const isLineReady = performance.now() - lineHeardAtMs() < LINE_SILENT_MS;
      return { isReady: isLineReady && writer.state === 'ready', line: isLineReady ? 'ready' : 'silent', desk: writer.state };
    },
  });
}

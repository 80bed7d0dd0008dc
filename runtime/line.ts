// The line: log, seeds, listener, worker and player in one process, brought up in this order and taken down in the other.
import { join } from 'node:path';
import { msgpack } from '../codecs/msgpack.ts';
import { MillraceError } from '../engine/errors.ts';
import { type Plan, planOf } from '../engine/plan.ts';
import type { LogPort } from '../engine/ports.ts';
import { startWorker, type Worker } from '../engine/worker.ts';
import { type Listener, startListener } from '../ingest/listener.ts';
import { formatPlayProgress, type Player, startPlayer } from '../ingest/player.ts';
import { loadPlaySource } from '../ingest/playSource.ts';
import type { RoutedTopic } from '../ingest/routes.ts';
import { openEmbeddedLog } from '../log/embedded/embeddedLog.ts';
import type { ChildLink, RunningChild } from './child.ts';
import { killPointFrom, type OnPoint } from './killPoint.ts';
import { lineMetrics } from './lineMetrics.ts';
import { type LoadedPipeline, loadPipelines } from './loadPipeline.ts';
import { type Logger, makeLogger } from './logger.ts';
import type { LineSettings } from './messages.ts';
import { seedsOf, seedTopics } from './seed.ts';
import { openTaking } from './takingFile.ts';

const METRICS_EVERY_MS = 1_000;
const PROGRESS_EVERY_MS = 10_000;

/** Brings the line up. What fails later goes to `link.fail`, and the process ends. */
export async function startLine(settings: LineSettings, link: ChildLink): Promise<RunningChild> {
  const logger = makeLogger({ role: 'line', level: settings.logLevel, format: settings.logFormat });
  const onPoint = killPointFrom(process.env);
  // A file to play that cannot be played should be known before anything is written.
  const source = settings.play === undefined ? undefined : await loadPlaySource(settings.play, { cwd: settings.cwd });
  const loaded = await loadPipelines(settings.pipelines);
  const plans = loaded.map(({ pipeline }) => planOf(pipeline));
  const log = await openLog(settings, onPoint, link);
  try {
    await fillTopics(log, loaded, plans, logger);
    const listener = await openListener(settings, plans, log, onPoint, logger, link);
    const worker = await startWorker({
      log,
      plans,
      boxed: msgpack(),
      feeds: listener.status,
      ...(onPoint === undefined ? {} : { onPoint }),
      resetSteps: settings.resetSteps,
      skip: settings.skip,
      onTake: settings.findHang ? openTaking(settings.dir).note : undefined,
      onFull: (message) => logger.error(`a commit waits: ${message}`),
      onSlow: ({ ms, at }) => logger.warn({ at }, `one slice took ${Math.round(ms)} ms; a callback is slow`),
    });
    worker.failed.catch((error) => link.fail(error));
    const player = source === undefined ? undefined : await playTo(settings, listener, source, logger);
    finishWhenPlayed(settings, worker, player, link);
    const sender = sendMetrics(worker, listener, link);
    return {
      ready: {
        kind: 'ready',
        mqtt: { host: listener.host, port: listener.port },
        pipelines: plans.map((plan) => plan.pipeline.id),
        tables: [...new Set(plans.flatMap((plan) => plan.tables.map(({ table }) => table.name)))],
      },
      async stop() {
        clearInterval(sender);
        // The player waits for acknowledgements that the closing listener still gives.
        await Promise.all([player?.stop(), listener.close()]);
        await worker.stop();
        await log.close();
      },
    };
  } catch (error) {
    await log.close();
    throw error;
  }
}

function openLog({ dir, logMaxSizeBytes }: LineSettings, onPoint: OnPoint | undefined, link: ChildLink): Promise<LogPort> {
  return openEmbeddedLog({ dir, maxSizeBytes: logMaxSizeBytes, onPoint, onFatal: (error) => link.fail(error) });
}

async function fillTopics(log: LogPort, loaded: readonly LoadedPipeline[], plans: readonly Plan[], logger: Logger): Promise<void> {
  for (const plan of plans) await log.ensureTopics(plan.topics.map(({ spec }) => spec));
  const seeds = plans.flatMap((plan, i) => seedsOf(plan.topics, (loaded[i] as LoadedPipeline).file));
  for (const { topic, file, written, deleted } of await seedTopics(log, seeds))
    logger.info({ file, written, deleted }, `topic ${topic} filled from its seed`);
}

async function openListener(
  settings: LineSettings,
  plans: readonly Plan[],
  log: LogPort,
  onPoint: OnPoint | undefined,
  logger: Logger,
  link: ChildLink,
): Promise<Listener> {
  const { mqtt, mqttPortMayMove, mqttUsers } = settings;
  const listener = await startListener({
    log: onPoint === undefined ? log : acknowledgingLog(log, onPoint),
    routes: routesOf(plans),
    host: mqtt.host,
    port: mqtt.port,
    portFallback: mqttPortMayMove,
    ...(mqttUsers === undefined ? {} : { usersFile: mqttUsers }),
    onWarning: (message) => logger.warn(message),
    onFatal: (error) => link.fail(error),
  });
  if (mqtt.port !== 0 && listener.port !== mqtt.port) logger.warn(`port ${mqtt.port} is taken; the MQTT listener is on ${listener.port}`);
  return listener;
}

/** The log as ingest sees it, with the point between durable and acknowledged. */
function acknowledgingLog(log: LogPort, onPoint: OnPoint): LogPort {
  return new Proxy(log, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (name === 'append')
        return async (...args: Parameters<LogPort['append']>) => {
          await target.append(...args);
          onPoint('before-puback');
        };
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Every topic with a route, once. Two pipelines may share one by importing it from the same file. */
function routesOf(plans: readonly Plan[]): readonly RoutedTopic[] {
  const routes = new Map<string, RoutedTopic>();
  for (const plan of plans)
    for (const { topic, spec } of plan.topics) {
      if (topic?.from === undefined) continue;
      const other = routes.get(spec.name);
      if (other !== undefined && other.topic !== topic)
        throw new MillraceError(
          'E_TOPIC_CONFLICT',
          `topic '${spec.name}' has a route in two pipeline files; declare it in one and import it in the other`,
        );
      const skewMs = Math.max(other?.skewMs ?? 0, plan.pipeline.options.skewMs);
      routes.set(spec.name, { topic, partitions: spec.partitions, skewMs });
    }
  return [...routes.values()];
}

async function playTo(
  settings: LineSettings,
  listener: Listener,
  source: Awaited<ReturnType<typeof loadPlaySource>>,
  logger: Logger,
): Promise<Player> {
  const { mqttUser, mqttPassword } = settings;
  const player = await startPlayer({
    source,
    host: listener.host === '0.0.0.0' || listener.host === '::' ? '127.0.0.1' : listener.host,
    port: listener.port,
    speed: settings.speed,
    positionFile: join(settings.dir, 'player.json'),
    progressEveryMs: PROGRESS_EVERY_MS,
    onProgress: (progress) => logger.info(formatPlayProgress(progress)),
    ...(mqttUser === undefined ? {} : { username: mqttUser }),
    ...(mqttPassword === undefined ? {} : { password: mqttPassword }),
  });
  // The devices go on when the player cannot: it says why, and the next run plays on.
  player.finished.catch((error) => logger.error({ err: error }, 'the play ended before its end'));
  return player;
}

/** --until-end: everything played is acknowledged, so it is in the log; then the worker runs to the log's end. */
function finishWhenPlayed({ untilEnd }: LineSettings, worker: Worker, player: Player | undefined, link: ChildLink): void {
  if (!untilEnd) return;
  endWhenPlayed(worker, player).catch((error) => link.fail(error));
  worker.finished.then(
    () => link.send({ kind: 'finished' }),
    () => {},
  );
}

async function endWhenPlayed(worker: Worker, player: Player | undefined): Promise<void> {
  const progress = await player?.finished;
  if (progress?.state !== 'stopped') worker.endOfInput();
}

function sendMetrics(worker: Worker, listener: Listener, link: ChildLink): NodeJS.Timeout {
  const text = lineMetrics({ worker: () => worker.metrics(), ingest: () => listener.counters() });
  return setInterval(() => {
    text().then((metrics) => link.send({ kind: 'metrics', text: metrics }), link.fail);
  }, METRICS_EVERY_MS);
}

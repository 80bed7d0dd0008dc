// The MQTT server inside: devices connect, publishes go to the log, and the acknowledgement means that the log has them.
import { createServer, type Server } from 'node:net';
import { DEAD_LETTER_TOPIC } from '../engine/deadLetter.ts';
import { type ErrorCode, MillraceError, messageOf } from '../engine/errors.ts';
import type { FeedStatus, LogPort } from '../engine/ports.ts';
import { RECORD_BYTES_MAX } from './accept.ts';
import { bind, checkHost } from './bind.ts';
import { Connection, type ConnectionHost } from './connection.ts';
import { Door, within } from './door.ts';
import { type DrainClock, drainClock } from './drainClock.ts';
import { type Forwarder, forwarder } from './forwarder.ts';
import { type IntakeState, intake } from './intake.ts';
import { NamedOnce, printable } from './namedOnce.ts';
import { type RoutedTopic, router } from './routes.ts';
import { startSessions, type Will } from './sessions.ts';
import { readUsers } from './users.ts';

export interface ListenerOptions {
  readonly log: LogPort;
  /** The topics that have a route. They and millrace.dlq must be in the log already. */
  readonly routes: readonly RoutedTopic[];
  /** Default 127.0.0.1. Anything wider than this machine needs a usersFile. */
  readonly host?: string;
  /** Default 1883; 0 is any free port. */
  readonly port?: number;
  /** Takes any free port when `port` is taken. Default false. */
  readonly portFallback?: boolean;
  /** Lines `user:hash`, see hashPassword. With it, everybody must name themselves, on this machine too. */
  readonly usersFile?: string | undefined;
  /** Largest packet taken, by the length in its header. Default 256 KiB, at most 900 kB. Unit: bytes. */
  readonly packetBytesMax?: number;
  /** How far a device's clock may be ahead of ours. Default 1 h. Unit: ms. */
  readonly skewMs?: number;
  /** Default 10,000. */
  readonly connectionsMax?: number;
  /** Default 10 s. Unit: ms. */
  readonly connectTimeoutMs?: number;
  /** How long a wrong password waits for its answer. Default 1 s. Unit: ms. */
  readonly wrongPasswordMs?: number;
  /** How long to wait before a full log is tried again. Default 1 s. Unit: ms. */
  readonly logFullRetryMs?: number;
  /** Wall clock. Unit: epoch ms. */
  readonly nowMs?: () => number;
  readonly monotonicMs?: () => number;
  /** Called once per MQTT topic that no route takes. Default: a warning. */
  readonly onUnrouted?: (mqttTopic: string) => void;
  /** One line for people; control characters are escaped and payloads never appear. */
  readonly onWarning?: (message: string) => void;
  /** The log can take nothing any more: the process must end. Nothing is acknowledged from here on. */
  readonly onFatal: (error: MillraceError) => void;
}

/** What has happened since the start. */
export interface ListenerCounters {
  /** Publishes received, wills included. */
  readonly received: number;
  /** Records in the log. A publish that two topics take is two. */
  readonly stored: number;
  /** Dead letters in the log, by code. */
  readonly deadLettered: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly unrouted: number;
  /** Clients connected now. */
  readonly clients: number;
  /** Clients not let in: too many, no CONNECT in time, another protocol, a wrong password. */
  readonly rejectedConnections: number;
  /** Packets that MQTT or a limit forbids; each closed its connection. */
  readonly refusedPackets: number;
  /** Publishes not shown to subscribers because they were behind. */
  readonly forwardsDropped: number;
  /** Retained messages not remembered because there was no room; the log has them all the same. */
  readonly notRetained: number;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** full: the log has no room, publishes wait unacknowledged. failed: the log is gone. */
  readonly state: IntakeState;
  readonly status: FeedStatus;
  counters(): ListenerCounters;
  /** Takes no more, finishes and acknowledges what was received, closes. Repeated calls wait for the same end. */
  close(): Promise<void>;
}

const DEFAULTS = {
  host: '127.0.0.1',
  port: 1883,
  portFallback: false,
  packetBytesMax: 256 * 1024,
  skewMs: 3_600_000,
  connectionsMax: 10_000,
  connectTimeoutMs: 10_000,
  wrongPasswordMs: 1_000,
  logFullRetryMs: 1_000,
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  onWarning: () => {},
} as const;

const SWEEP_MS = 1_000;
/** Longest time close waits for the log, and then for clients to take their last acknowledgements. Unit: ms. */
const SETTLE_MS = 3_000;
const FAREWELL_MS = 500;
const SUBSCRIPTIONS_MAX = 100;
const FILTER_BYTES_MAX = 1_024;

/**
 * Opens the MQTT 3.1.1 listener.
 *
 * Promise  QoS 1 and 2: the PUBACK or PUBREC leaves after the log has made the publish durable; QoS 0: stored, unless this
 *          process dies first. Per client, publishes are stored and acknowledged in the order sent.
 * Errors   E_MQTT_AUTH wider than this machine without users · E_CONFIG for a setting, users file or port that cannot be
 *          · E_UNKNOWN_TOPIC when a routed topic or millrace.dlq is not in the log
 */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const settings = { ...DEFAULTS, ...options };
  const { log, routes, onWarning, monotonicMs } = settings;
  checkSettings(settings);
  const users = options.usersFile === undefined ? undefined : await readUsers(options.usersFile);
  for (const { topic, partitions } of routes) await log.bounds(topic.name, partitions - 1);
  await log.bounds(DEAD_LETTER_TOPIC, 0);

  const door = new Door(onWarning);
  const sessions = await startSessions({
    users,
    wrongPasswordMs: settings.wrongPasswordMs,
    maySubscribe: (connection, filter) => maySubscribe(connection, filter, host.forwarder),
    onWill: (will) => takeWill(will, host),
    onRejected: door.rejected,
    onWarning,
  });
  const forwards = forwarder(sessions);
  const host: ConnectionHost = {
    ...settings,
    router: router(routes),
    intake: intake({ ...settings, topics: routes, forwarder: forwards, retryMs: settings.logFullRetryMs }),
    forwarder: forwards,
    held: { count: 0 },
    openSession: sessions.open,
    onUnrouted: unroutedOnce(options.onUnrouted, onWarning),
    onRefused: door.refused,
    onRejected: door.rejected,
    onMishap: door.mishap,
    onClosed: door.closed,
  };
  const server = serve(host, door, settings.connectionsMax);
  const port = await bind(server, settings.host, settings.port, settings.portFallback).catch(async (error: unknown) => {
    await sessions.close();
    throw error;
  });
  server.on('error', (error) => onWarning(`MQTT listener: ${printable(messageOf(error))}`));
  const sweep = setInterval(() => door.sweep(monotonicMs(), settings.connectTimeoutMs), SWEEP_MS);
  sweep.unref();
  const drained = drainClock(routes.length, (i) => host.held.count === 0 && host.intake.isQuiet(i), monotonicMs);
  const close = async (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of door.connections) connection.stopReading();
    await within(SETTLE_MS, host.intake.settled());
    // Closed before the sessions end, so that the wills they leave are not taken: the devices did not fail, we leave.
    host.intake.close();
    clearInterval(sweep);
    drained.stop();
    const ended = sessions.close();
    await door.closeAll(stopped, FAREWELL_MS);
    await Promise.all([stopped, ended]);
  };
  let closed: Promise<void> | undefined;
  return {
    host: settings.host,
    port,
    get state() {
      return host.intake.state;
    },
    status: feedStatus(routes, drained),
    counters: () => countersOf(host, door),
    close: () => (closed ??= close()),
  };
}

/** Lets clients in, as many as there is room for. */
function serve(host: ConnectionHost, door: Door, connectionsMax: number): Server {
  return createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) => {
    if (door.connections.size < connectionsMax) {
      door.connections.add(new Connection(socket, host));
      return;
    }
    socket.on('error', () => {}).destroy();
    door.rejected(`more than ${connectionsMax} connections`);
  });
}

function feedStatus(routes: readonly RoutedTopic[], drained: DrainClock): FeedStatus {
  const indexOf = new Map(routes.map(({ topic }, i) => [topic.name, i]));
  return {
    drainedAtMs: (topic) => {
      const index = indexOf.get(topic);
      return index === undefined ? Infinity : drained.drainedAtMs(index);
    },
  };
}

function countersOf({ intake: { counters }, forwarder: { dropped, notRetained } }: ConnectionHost, door: Door): ListenerCounters {
  return {
    ...counters,
    deadLettered: Object.fromEntries(counters.deadLettered),
    clients: door.readyCount,
    rejectedConnections: door.rejectedCount,
    refusedPackets: door.refusedCount,
    forwardsDropped: dropped,
    notRetained,
  };
}

type Settings = ListenerOptions & { readonly [Name in keyof typeof DEFAULTS]-?: NonNullable<ListenerOptions[Name]> };

function checkSettings(settings: Settings): void {
  checkHost(settings.host, settings.usersFile !== undefined);
  const whole = (name: keyof Settings, min: number, max: number) => {
    const value = settings[name];
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
      throw new MillraceError('E_CONFIG', `MQTT listener: ${name} must be a whole number from ${min} to ${max}, got ${String(value)}`);
  };
  whole('port', 0, 65_535);
  whole('packetBytesMax', 128, RECORD_BYTES_MAX);
  whole('connectionsMax', 1, 1_000_000);
  whole('connectTimeoutMs', 1, 3_600_000);
  if (!(settings.skewMs >= 0))
    throw new MillraceError('E_CONFIG', `MQTT listener: skewMs must be 0 or more, got ${String(settings.skewMs)}`);
}

/** Looking on is allowed, in bounds; `$` topics are the server's own, and shared subscriptions would look granted and deliver nothing. */
function maySubscribe(connection: Connection, filter: string, forwards: Forwarder): boolean {
  if (connection.state === 'over' || filter.startsWith('$') || Buffer.byteLength(filter) > FILTER_BYTES_MAX) return false;
  if (connection.filters.has(filter)) return true;
  if (connection.filters.size >= SUBSCRIPTIONS_MAX) return false;
  connection.filters.add(filter);
  forwards.subscribe(filter);
  return true;
}

/** A will is a publish like any other. */
function takeWill(will: Will, host: ConnectionHost): void {
  if (!host.intake.hasRoom) return host.intake.whenRoom(() => takeWill(will, host));
  const topic = Buffer.from(will.topic);
  const to = host.router.route(topic, 0, topic.length);
  if (typeof to === 'string') return host.onRefused(`a will to ${to}`);
  if (to.matches.length === 0) host.onUnrouted(to.mqttTopic);
  const { payload, qos, retain } = will;
  host.intake.take({ to, bytes: payload, start: 0, end: payload.length, qos, isRetained: retain, arrivedMs: host.nowMs() }, undefined, 0);
}

function unroutedOnce(onUnrouted: ListenerOptions['onUnrouted'], onWarning: (message: string) => void): (mqttTopic: string) => void {
  const said = new NamedOnce(1_000);
  return (mqttTopic) => {
    if (!said.isNew(mqttTopic)) return;
    if (onUnrouted !== undefined) onUnrouted(mqttTopic);
    else onWarning(`no route takes the MQTT topic ${printable(mqttTopic)}: acknowledged, counted, not stored`);
  };
}

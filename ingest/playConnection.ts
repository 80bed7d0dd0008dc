// One MQTT connection of the player: sends in order, holds what is not acknowledged, reconnects with back-off.
import { connect, type MqttClient } from 'mqtt';
import { MillraceError, messageOf } from '../engine/errors.ts';
import type { PlayRecord } from './playSource.ts';

export interface PlayBroker {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export interface PlayConnection {
  /** Publishes with QoS 1, now or once connected again. */
  send(record: PlayRecord): void;
  /** What keeps it from sending, for people; undefined while connected. */
  readonly trouble: string | undefined;
  close(): Promise<void>;
}

export interface PlayConnectionEvents {
  /** The broker has it. Called once a record. */
  acknowledged(record: PlayRecord): void;
  /** It cannot work, however often it is tried. */
  failed(error: MillraceError): void;
}

/** Waits between attempts: 100 ms, doubled up to 10 s, each shortened by up to a half so that many clients spread out. */
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 10_000;
/** A broker that hangs up this often with the same record unanswered will not take it. */
const REFUSALS_MAX = 6;
/** CONNACK codes that another attempt does not change: bad user name or password, not authorised, identifier rejected. */
const FINAL_CONNACK = new Set([2, 4, 5]);

/** Opens a connection under this client id. It connects when the first record is sent. */
export function openPlayConnection(clientId: string, broker: PlayBroker, events: PlayConnectionEvents): PlayConnection {
  /** Sent or to be sent, not acknowledged; in order. */
  const waiting = new Map<number, PlayRecord>();
  let client: MqttClient | undefined;
  let connected = false;
  let closed = false;
  let retryAfterMs = RETRY_FIRST_MS;
  let timer: NodeJS.Timeout | undefined;
  let trouble: string | undefined = 'not connected yet';
  let refusals = 0;

  const publish = (by: MqttClient, record: PlayRecord): void => {
    by.publish(record.topic, record.payload, { qos: 1 }, (error) => {
      // An error only says that the connection ended: the record is still waiting and goes out over the next one.
      if ((error !== undefined && error !== null) || !waiting.delete(record.index)) return;
      refusals = 0;
      retryAfterMs = RETRY_FIRST_MS;
      events.acknowledged(record);
    });
  };

  const open = (): void => {
    timer = undefined;
    const mine = connect({
      ...{ host: broker.host, port: broker.port, protocol: 'mqtt', protocolVersion: 4, clientId, clean: true, reconnectPeriod: 0 },
      ...(broker.username === undefined ? {} : { username: broker.username }),
      ...(broker.password === undefined ? {} : { password: broker.password }),
    });
    client = mine;
    mine.on('connect', () => {
      connected = true;
      trouble = undefined;
      for (const record of waiting.values()) publish(mine, record);
    });
    mine.on('error', (error) => {
      trouble = messageOf(error) || String((error as NodeJS.ErrnoException).code);
      const code = (error as { code?: unknown }).code;
      if (typeof code !== 'number' || !FINAL_CONNACK.has(code)) return;
      fail(
        `the broker at ${broker.host}:${broker.port} refuses client '${clientId}' (CONNACK ${code}): ${messageOf(error)}; check user and password`,
      );
    });
    mine.on('close', () => {
      if (mine === client && !closed) lost(mine);
    });
  };

  const lost = (mine: MqttClient): void => {
    if (connected && waiting.size > 0 && ++refusals >= REFUSALS_MAX) {
      const [record] = waiting.values() as Iterable<PlayRecord> as [PlayRecord];
      fail(
        `line ${record.line}: the broker hung up ${refusals} times on the publish to '${record.topic}' (${record.payload.length} bytes); is it larger than the broker takes?`,
      );
      return;
    }
    trouble ??= 'the connection was closed';
    connected = false;
    client = undefined;
    mine.end(true);
    timer = setTimeout(open, retryAfterMs * (1 - Math.random() / 2));
    retryAfterMs = Math.min(retryAfterMs * 2, RETRY_MAX_MS);
  };

  const fail = (message: string): void => {
    if (closed) return;
    void close();
    events.failed(new MillraceError('E_PLAY', message));
  };

  const close = async (): Promise<void> => {
    closed = true;
    connected = false;
    clearTimeout(timer);
    const mine = client;
    client = undefined;
    if (mine !== undefined) await mine.endAsync(true).catch(() => undefined);
  };

  return {
    send(record) {
      waiting.set(record.index, record);
      if (connected && client !== undefined) publish(client, record);
      else if (client === undefined && timer === undefined && !closed) open();
    },
    get trouble() {
      return connected ? undefined : trouble;
    },
    close,
  };
}

// One MQTT connection of the player: sends in order, holds what is not acknowledged, reconnects with back-off.
import { connect, type MqttClient } from 'mqtt';
import { MillraceError, messageOf } from '../engine/errors.ts';
import type { PlayRecord } from './playSource.ts';

/** Where the broker is and who we are to it. */
export interface PlayBroker {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** What a connection tells the player. */
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

/** A connection under one client id. It connects when the first record is sent. */
export class PlayConnection {
  readonly #clientId: string;
  readonly #broker: PlayBroker;
  readonly #events: PlayConnectionEvents;
  /** Sent or to be sent, not acknowledged; in order. */
  readonly #waiting = new Map<number, PlayRecord>();
  #client: MqttClient | undefined;
  #connected = false;
  #closed = false;
  #trouble = 'not connected yet';
  #refusals = 0;
  #retryAfterMs = RETRY_FIRST_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(clientId: string, broker: PlayBroker, events: PlayConnectionEvents) {
    this.#clientId = clientId;
    this.#broker = broker;
    this.#events = events;
  }

  /** Publishes with QoS 1, now or once connected again. */
  send(record: PlayRecord): void {
    this.#waiting.set(record.index, record);
    if (this.#connected && this.#client !== undefined) this.#publish(this.#client, record);
    else if (this.#client === undefined && this.#timer === undefined && !this.#closed) this.#open();
  }

  /** What keeps it from sending, for people; undefined while connected. */
  get trouble(): string | undefined {
    return this.#connected ? undefined : this.#trouble;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connected = false;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) await client.endAsync(true).catch(() => undefined);
  }

  #publish(client: MqttClient, record: PlayRecord): void {
    client.publish(record.topic, record.payload, { qos: 1 }, (error) => {
      // An error only says that the connection ended: the record is still waiting and goes out over the next one.
      if ((error !== undefined && error !== null) || !this.#waiting.delete(record.index)) return;
      this.#refusals = 0;
      this.#retryAfterMs = RETRY_FIRST_MS;
      this.#events.acknowledged(record);
    });
  }

  #open(): void {
    this.#timer = undefined;
    const { host, port, username, password } = this.#broker;
    const client = connect({
      host,
      port,
      protocol: 'mqtt',
      protocolVersion: 4,
      clientId: this.#clientId,
      clean: true,
      reconnectPeriod: 0,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    });
    this.#client = client;
    client.on('connect', () => {
      this.#connected = true;
      this.#trouble = 'the connection was closed';
      for (const record of this.#waiting.values()) this.#publish(client, record);
    });
    client.on('error', (error) => this.#failedToConnect(error));
    client.on('close', () => {
      if (client === this.#client && !this.#closed) this.#lost(client);
    });
  }

  #failedToConnect(error: Error): void {
    this.#trouble = messageOf(error) || String((error as NodeJS.ErrnoException).code);
    const code = (error as { code?: unknown }).code;
    if (typeof code !== 'number' || !FINAL_CONNACK.has(code)) return;
    const { host, port } = this.#broker;
    this.#fail(
      `the broker at ${host}:${port} refuses client '${this.#clientId}' (CONNACK ${code}): ${this.#trouble}; check user and password`,
    );
  }

  #lost(client: MqttClient): void {
    if (this.#connected && this.#waiting.size > 0 && ++this.#refusals >= REFUSALS_MAX) {
      const { line, topic, payload } = [...this.#waiting.values()][0] as PlayRecord;
      this.#fail(
        `line ${line}: the broker hung up ${this.#refusals} times on the publish to '${topic}' (${payload.length} bytes); is it larger than the broker takes?`,
      );
      return;
    }
    this.#connected = false;
    this.#client = undefined;
    client.end(true);
    this.#timer = setTimeout(() => this.#open(), this.#retryAfterMs * (1 - Math.random() / 2));
    this.#retryAfterMs = Math.min(this.#retryAfterMs * 2, RETRY_MAX_MS);
  }

  #fail(message: string): void {
    if (this.#closed) return;
    void this.close();
    this.#events.failed(new MillraceError('E_PLAY', message));
  }
}

// Publishes a file over MQTT as the devices in it would: at their pace or faster, in their order, each record acknowledged.
import { performance } from 'node:perf_hooks';
import { MillraceError } from '../engine/errors.ts';
import { type PlayBroker, PlayConnection } from './playConnection.ts';
import { openPlayPosition } from './playPosition.ts';
import type { PlayRecord, PlaySource } from './playSource.ts';

/** What is played, where to, how fast. */
export interface PlayerOptions extends PlayBroker {
  readonly source: PlaySource;
  /** How many times faster than it happened; 0 or Infinity: as fast as the broker takes it. */
  readonly speed: number;
  /** Where to remember how far it is: `player.json` in the data folder. */
  readonly positionFile: string;
  /** Called every progressEveryMs, and once at the end. */
  readonly onProgress?: (progress: PlayProgress) => void;
  readonly progressEveryMs?: number;
  /** Publishes not yet acknowledged, over all connections. */
  readonly inFlightMax?: number;
  /** Connections; with more clients than that, several share one. */
  readonly connectionsMax?: number;
  /** How far a record may run ahead of the oldest unacknowledged one, in event time: so one slow connection makes nobody late. */
  readonly aheadMs?: number;
}

/** How far a play is. */
export interface PlayProgress {
  readonly state: 'playing' | 'finished' | 'stopped' | 'alreadyPlayed';
  readonly name: string;
  /** Acknowledged, counted from the beginning of the file. */
  readonly records: number;
  readonly count: number;
  /** Event time of the last record sent; undefined before the first or without times in the file. Unit: epoch ms. */
  readonly eventTimeMs: number | undefined;
  /** Acknowledged since the last call. */
  readonly recordsPerSecond: number;
  /** What it waits for, for people: a broker that is away. */
  readonly trouble: string | undefined;
}

/** A play under way. */
export interface Player {
  /** Resolves when everything is acknowledged, or stop() was called. Rejects with E_PLAY when it cannot go on. */
  readonly finished: Promise<PlayProgress>;
  readonly progress: PlayProgress;
  /** Sends no more, waits up to two seconds for what was sent, and remembers how far it came. */
  stop(): Promise<void>;
}

const STOP_WAIT_MS = 2_000;
const REMEMBER_EVERY_MS = 100;

/**
 * Plays a file to a broker. Every record goes out with QoS 1 and is held until its PUBACK; what was not acknowledged when the
 * process ended is published again next time, so a device's record may arrive twice, and never not at all.
 *
 * Order   per client, as in the file; across clients by event time, within aheadMs
 * Errors  E_PLAY: credentials refused, a record the broker never takes, the file changed, the position cannot be kept
 * @example const player = await startPlayer({ source, host: '127.0.0.1', port: 1883, speed: 3600, positionFile: '.millrace/player.json' })
 */
export async function startPlayer(options: PlayerOptions): Promise<Player> {
  const { source, speed } = options;
  if (!(speed >= 0))
    throw new MillraceError('E_PLAY', `speed must be a number from 0 on, got ${String(speed)}; 3600 plays an hour in a second`);
  const position = openPlayPosition(options.positionFile, source);
  const play = new Play(options, position.position);
  const alreadyPlayed = source.count > 0 && position.position === source.count;
  const finished = alreadyPlayed ? Promise.resolve(play.end('alreadyPlayed')) : play.run(position.write);
  // Whoever only calls stop() need not listen for errors too.
  finished.catch(() => undefined);
  return {
    finished,
    get progress() {
      return play.progress();
    },
    async stop() {
      play.stop();
      await finished.then(
        () => undefined,
        () => undefined,
      );
    },
  };
}

/** The state of one play. */
class Play {
  readonly #options: PlayerOptions;
  readonly #connections = new Map<string, PlayConnection>();
  /** Sent and not acknowledged: index → event time, oldest first. */
  readonly #inFlight = new Map<number, number>();
  /** Index of the next record to send. */
  #next: number;
  /** Largest event time so far: a late record does not hold the play back. */
  #timeMs = Number.NEGATIVE_INFINITY;
  #state: PlayProgress['state'] = 'playing';
  #failure: MillraceError | undefined;
  /** Wakes the loop: an acknowledgement, a failure, stop. */
  #wake: () => void = () => undefined;
  #shown = { records: 0, atMs: performance.now() };

  constructor(options: PlayerOptions, position: number) {
    this.#options = options;
    this.#next = position;
    this.#shown.records = position;
  }

  /** Publishes acknowledged from the beginning without a gap. */
  get #position(): number {
    for (const oldest of this.#inFlight.keys()) return oldest;
    return this.#next;
  }

  async run(remember: (position: number) => Promise<void>): Promise<PlayProgress> {
    const { onProgress, progressEveryMs = 5_000 } = this.#options;
    const shower = setInterval(() => onProgress?.(this.progress(true)), progressEveryMs);
    const keeper = this.#keepPosition(remember);
    try {
      await this.#sendAll();
      await this.#until(() => this.#inFlight.size === 0 || this.#over);
      await this.#until(() => this.#inFlight.size === 0, STOP_WAIT_MS);
    } finally {
      clearInterval(shower);
      await Promise.all([...this.#connections.values()].map((connection) => connection.close()));
      await keeper.last();
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.end(this.#state === 'stopped' ? 'stopped' : 'finished');
  }

  /** Settles the state and says so. */
  end(state: PlayProgress['state']): PlayProgress {
    this.#state = state;
    const progress = this.progress(true);
    this.#options.onProgress?.(progress);
    return progress;
  }

  stop(): void {
    if (this.#state === 'playing') this.#state = 'stopped';
    this.#wake();
  }

  get #over(): boolean {
    return this.#state !== 'playing' || this.#failure !== undefined;
  }

  async #sendAll(): Promise<void> {
    const { source, speed, inFlightMax = 256, aheadMs = 1_000 } = this.#options;
    let anchor: { readonly wallMs: number; readonly timeMs: number } | undefined;
    for await (const record of source.records(this.#next)) {
      this.#timeMs = Math.max(this.#timeMs, record.atMs ?? this.#timeMs);
      if (record.atMs !== undefined && speed > 0 && speed < Number.POSITIVE_INFINITY) {
        anchor ??= { wallMs: performance.now(), timeMs: this.#timeMs };
        await this.#sleepUntil(anchor.wallMs + (this.#timeMs - anchor.timeMs) / speed);
      }
      await this.#until(() => this.#over || (this.#inFlight.size < inFlightMax && this.#timeMs - this.#oldestMs <= aheadMs));
      if (this.#over) return;
      this.#inFlight.set(record.index, this.#timeMs);
      this.#next = record.index + 1;
      this.#connectionOf(record).send(record);
    }
  }

  /** Event time of the oldest record in flight. */
  get #oldestMs(): number {
    for (const timeMs of this.#inFlight.values()) return timeMs;
    return this.#timeMs;
  }

  #connectionOf({ client }: PlayRecord): PlayConnection {
    const { connectionsMax = 64 } = this.#options;
    let connection = this.#connections.get(client);
    if (connection !== undefined) return connection;
    if (this.#connections.size < connectionsMax) {
      connection = new PlayConnection(`play-${client}`, this.#options, {
        acknowledged: (record) => {
          this.#inFlight.delete(record.index);
          this.#wake();
        },
        failed: (error) => {
          this.#failure ??= error;
          this.#wake();
        },
      });
      this.#connections.set(client, connection);
      return connection;
    }
    // One client always shares the same connection, so its order holds.
    let sum = 0;
    for (let i = 0; i < client.length; i++) sum = (Math.imul(sum, 31) + client.charCodeAt(i)) >>> 0;
    const all = [...this.#connections.values()];
    return all[sum % all.length] as PlayConnection;
  }

  async #sleepUntil(wallMs: number): Promise<void> {
    for (;;) {
      const restMs = wallMs - performance.now();
      if (restMs <= 0 || this.#over) return;
      await this.#until(() => this.#over, Math.min(restMs, 2_000_000_000));
    }
  }

  /** Resolves when `done` holds, looked at after every wake, or after waitMs. A failure ends every wait. */
  async #until(done: () => boolean, waitMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (done() || this.#failure !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = waitMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(settle, waitMs);
      function settle(): void {
        clearTimeout(timer);
        resolve();
      }
      this.#wake = () => {
        if (done() || this.#failure !== undefined) settle();
      };
    });
    this.#wake = () => undefined;
  }

  /** Writes the position now and then while it moves; last() writes it once more. A disk that refuses ends the play. */
  #keepPosition(remember: (position: number) => Promise<void>): { last(): Promise<void> } {
    let written = this.#position;
    let writing = Promise.resolve();
    const write = (): void => {
      const position = this.#position;
      if (position === written || this.#failure !== undefined) return;
      written = position;
      writing = writing
        .then(() => remember(position))
        .catch((error: MillraceError) => {
          this.#failure ??= error;
          this.#wake();
        });
    };
    const timer = setInterval(write, REMEMBER_EVERY_MS);
    return {
      async last() {
        clearInterval(timer);
        write();
        await writing;
      },
    };
  }

  progress(measured = false): PlayProgress {
    const nowMs = performance.now();
    const records = this.#position;
    const seconds = (nowMs - this.#shown.atMs) / 1_000;
    const recordsPerSecond = seconds > 0 ? (records - this.#shown.records) / seconds : 0;
    if (measured) this.#shown = { records, atMs: nowMs };
    return {
      state: this.#state,
      name: this.#options.source.name,
      records,
      count: this.#options.source.count,
      eventTimeMs: Number.isFinite(this.#timeMs) ? this.#timeMs : undefined,
      recordsPerSecond,
      trouble: [...this.#connections.values()].find((connection) => connection.trouble !== undefined)?.trouble,
    };
  }
}

/** The progress as one line for people. */
export function formatPlayProgress({ state, name, records, count, eventTimeMs, recordsPerSecond, trouble }: PlayProgress): string {
  const whole = (n: number) => n.toLocaleString('en-US');
  if (state === 'alreadyPlayed') return `play ${name}: played to its end before (${whole(count)} records); nothing to publish`;
  const at = eventTimeMs === undefined ? '' : `, at ${new Date(eventTimeMs).toISOString().replace('.000Z', 'Z')}`;
  const done = `play ${name}: ${whole(records)} of ${whole(count)} records acknowledged${at}`;
  if (state === 'finished') return `${done}: the end`;
  if (state === 'stopped') return `${done}; stopped, goes on here next time`;
  return `${done}, ${recordsPerSecond.toFixed(1)} records/s${trouble === undefined ? '' : `; waits for the broker: ${trouble}`}`;
}

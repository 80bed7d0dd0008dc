// Who is connected, who was turned away and why: counted always, said once.
import { messageOf } from '../engine/errors.ts';
import type { Connection } from './connection.ts';
import { NamedOnce, printable } from './namedOnce.ts';

/** Different reasons said; after that a flood of inventive clients is only counted. */
const REASONS_MAX = 100;

export class Door {
  readonly connections = new Set<Connection>();
  /** Clients not let in. */
  rejectedCount = 0;
  /** Packets that closed their connection. */
  refusedCount = 0;
  readonly #onWarning: (message: string) => void;
  readonly #said = new NamedOnce(REASONS_MAX);

  constructor(onWarning: (message: string) => void) {
    this.#onWarning = onWarning;
  }

  /** Clients whose session is open. */
  get readyCount(): number {
    let count = 0;
    for (const connection of this.connections) if (connection.state === 'ready') count++;
    return count;
  }

  readonly rejected = (why: string): void => {
    this.rejectedCount++;
    if (this.#said.isNew(why)) this.#onWarning(`a client was not let in: ${printable(why)} (said once; counted)`);
  };

  readonly refused = (why: string): void => {
    this.refusedCount++;
    if (this.#said.isNew(why)) this.#onWarning(`a client was closed, it sent ${printable(why)} (said once; counted)`);
  };

  readonly mishap = (error: unknown): void => {
    this.#onWarning(`a client was closed, for handling it failed: ${printable(messageOf(error))}`);
  };

  readonly closed = (connection: Connection): void => {
    this.connections.delete(connection);
  };

  /** Closes who has been silent or slow for too long. */
  sweep(nowMs: number, connectTimeoutMs: number): void {
    for (const connection of this.connections) connection.sweep(nowMs, connectTimeoutMs);
  }

  /** Closes all; what is written already may go out for `farewellMs`. */
  async closeAll(stopped: Promise<unknown>, farewellMs: number): Promise<void> {
    const leaving = [...this.connections];
    for (const connection of leaving) connection.close();
    await within(farewellMs, stopped);
    for (const { socket } of leaving) socket.destroy();
  }
}

/** Waits for the promise, but not for ever. */
export function within(ms: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    promise.then(end, end);
  });
}

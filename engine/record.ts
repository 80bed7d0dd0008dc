// The one thing that flows through a pipeline.

/** Header names and their raw bytes. The object has no prototype, so a device may send any name. */
export type Headers = Readonly<Record<string, Uint8Array>>;

/**
 * One record: what a device said, under which key, and when it happened.
 *
 * Unit    eventTimeMs: integer epoch milliseconds
 */
export interface Rec<K, V> {
  readonly key: K;
  readonly value: V;
  readonly eventTimeMs: number;
  readonly headers: Headers;
}

/** The headers of a record that has none: one frozen object, so that asking costs nothing. */
export const noHeaders: Headers = Object.freeze(Object.create(null) as Record<string, Uint8Array>);

/** Makes a record. Every record in the process is made here, so all share one hidden class. */
export function record<K, V>(key: K, value: V, eventTimeMs: number, headers: Headers = noHeaders): Rec<K, V> {
  return { key, value, eventTimeMs, headers };
}

// What is written about a record that could not be processed. Nothing is dropped without one.
import type { ErrorCode } from './errors.ts';
import type { Headers } from './record.ts';

/** The one topic of dead letters, for ingest and every pipeline. Key and value are the origin's raw bytes. */
export const DEAD_LETTER_TOPIC = 'millrace.dlq';

/** Why a record could not be processed, and where it came from. */
export interface DeadLetter {
  readonly code: ErrorCode;
  /** What was wrong, for people. */
  readonly reason: string;
  /** The pipeline's id, or `ingest`. */
  readonly pipeline: string;
  readonly step?: string | undefined;
  /** Where the record came from: a log topic, or the MQTT topic when ingest refused it. */
  readonly topic: string;
  readonly partition?: number | undefined;
  readonly offset?: number | undefined;
  /** The origin's event time; the dead letter itself carries the current time. Unit: epoch ms. */
  readonly eventTimeMs?: number | undefined;
}

/** Longest reason kept. Unit: characters. */
const REASON_MAX = 2_000;

/** The headers of a dead letter, each as UTF-8 text, on top of the origin's own. */
export function deadLetterHeaders(letter: DeadLetter, origin: Headers): Headers {
  const headers: Record<string, Uint8Array> = Object.assign(Object.create(null), origin);
  for (const [name, value] of Object.entries({ ...letter, reason: letter.reason.slice(0, REASON_MAX) }))
    if (value !== undefined) headers[`dlq.${name}`] = Buffer.from(String(value), 'utf8');
  return headers;
}

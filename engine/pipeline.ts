// A pipeline is a value: it can be printed, drawn, run in memory, cut anywhere and resumed.
import { MillraceError } from './errors.ts';
import type { Output } from './stream.ts';

/** What a pipeline may be told besides its outputs. */
export interface PipelineOptions {
  /** A new version starts beside the old one, with state of its own. Default 1. */
  readonly version?: number;
  /** Tasks the pipeline is split into, by key. Default 1. */
  readonly partitions?: number;
  /** How far ahead of its arrival a record's event time may be. Unit: ms. Default 1 h. */
  readonly skewMs?: number;
  /** How long without a record before silence counts as silence. Unit: ms. Default 5 s. */
  readonly idleAfterMs?: number;
  /** Longest time between commits while records flow. Unit: ms. Default 100. */
  readonly commitEveryMs?: number;
}

/** A named list of outputs with everything that leads to them. Runs nothing by itself. */
export interface Pipeline {
  readonly kind: 'pipeline';
  readonly id: string;
  readonly outputs: readonly Output[];
  readonly options: Required<PipelineOptions>;
}

/** Ids that name stores and topics: kebab-case, and short enough for a topic name. */
export const ID = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

const DEFAULTS: Required<PipelineOptions> = { version: 1, partitions: 1, skewMs: 3_600_000, idleAfterMs: 5_000, commitEveryMs: 100 };
const LEAST: Required<PipelineOptions> = { version: 1, partitions: 1, skewMs: 0, idleAfterMs: 1, commitEveryMs: 1 };

/**
 * Declares a pipeline: its id names its topics and state, so it must stay.
 *
 * Errors  E_PIPELINE for an id or option that cannot be; the graph itself is checked when it is planned
 */
export function pipeline(id: string, outputs: readonly Output[], options: PipelineOptions = {}): Pipeline {
  if (typeof id !== 'string' || !ID.test(id) || id.length > 80)
    throw new MillraceError('E_PIPELINE', `pipeline id '${String(id)}': use kebab-case, at most 80 characters, e.g. 'smart-city'`);
  if (!Array.isArray(outputs) || outputs.length === 0)
    throw new MillraceError('E_PIPELINE', `pipeline '${id}': needs at least one output, e.g. stream.to(duckdb('t'))`);
  outputs.forEach((output, i) => {
    if (output?.kind !== 'output')
      throw new MillraceError('E_PIPELINE', `pipeline '${id}': output ${i + 1} is not one; end it with .to(…)`);
  });
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(DEFAULTS, name))
      throw new MillraceError('E_PIPELINE', `pipeline '${id}': unknown option '${name}'; there are ${Object.keys(DEFAULTS).join(', ')}`);
    const least = LEAST[name as keyof PipelineOptions];
    if (value !== undefined && (!Number.isSafeInteger(value) || value < least))
      throw new MillraceError('E_PIPELINE', `pipeline '${id}': ${name} must be a whole number of ${least} or more, got ${String(value)}`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return Object.freeze({ kind: 'pipeline', id, outputs: Object.freeze([...outputs]), options: Object.freeze({ ...DEFAULTS, ...given }) });
}

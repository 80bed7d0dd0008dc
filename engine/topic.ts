// A topic is a value: its name, its codecs, what it keeps and where its records come from.
import { type Duration, durationMs } from './duration.ts';
import { MillraceError } from './errors.ts';
import { stringKey } from './stringKey.ts';

/**
 * How a value becomes bytes and comes back. `decode` reads `bytes[start, end)` and must not keep a view of it.
 *
 * Errors  decode: E_DECODE, E_SCHEMA · encode: E_SCHEMA, E_SCHEMA_ONE_WAY, E_RESULT
 */
export interface Codec<V> {
  /** Only for the compiler: the type this codec carries. */
  readonly '~value'?: V;
  readonly contentType: string;
  encode(value: V): Uint8Array;
  decode(bytes: Buffer, start: number, end: number): V;
}

/** Where a topic's records come from, as a plain value: see `mqtt(…)`. Only the ingest role reads it. */
export interface Route<in V> {
  /** Only for the compiler: the value the route's callbacks see. */
  readonly '~route'?: (value: V) => void;
  readonly kind: 'mqtt';
  /** MQTT filter with named segments, e.g. `city/+zone/air/+device`. */
  readonly filter: string;
  /** Key template over the names, e.g. `{zone}/{device}`. */
  readonly key: string;
  readonly eventTime?: ((value: V) => number | Date | string) | undefined;
  readonly retained: 'table' | 'drop';
}

/** How long a topic holds records, counted from their arrival; `compact` keeps the latest per key. */
export type Keep = Duration | 'compact';

/** What a topic may be told besides its name and codec. */
export interface TopicOptions<V> {
  readonly from?: Route<V>;
  /** Default: what the pipeline that reads it declares. */
  readonly partitions?: number;
  /** Default: 7 days for sources, 90 days for results. */
  readonly keep?: Keep;
  /** CSV, path relative to the pipeline file; column `key` is the key. Fills a table topic at start, once per content. */
  readonly seed?: string;
}

/** A place results go. Contravariant: a target that takes anything takes everything. */
export interface Target<in K, in V> {
  /** Only for the compiler: what may be written here. */
  readonly '~takes'?: (key: K, value: V) => void;
  /** The topic behind this target in the pipeline `pipelineId`, and the result table that follows it, if any. */
  readonly resolve: (pipelineId: string) => ResolvedTarget;
}

/** What stands behind a target: a topic, and the table that follows it. */
export interface ResolvedTarget {
  readonly topic: Topic<any, any>;
  readonly table?: TableSpec;
}

/** A DuckDB result table, as a plain value: see `duckdb(…)`. */
export interface TableSpec {
  readonly name: string;
  readonly keepMs?: number;
  /** Default: upsert by (key, window start) for windowed rows, append for everything else. */
  readonly mode?: 'upsert' | 'append';
  /** Exact DuckDB column types by field. */
  readonly columns: Readonly<Record<string, string>>;
  /** False accepts a table that outlives the log it would be rebuilt from. */
  readonly rebuild: boolean;
}

/** A named, partitioned sequence of records. Used by `stream(t)`, `table(t)` and `.to(t)`. */
export interface Topic<in out K, in out V> extends Target<K, V> {
  /** Only for the compiler: the records of this topic. */
  readonly '~record'?: Rec2<K, V>;
  readonly kind: 'topic';
  readonly name: string;
  readonly keyCodec: Codec<K>;
  readonly codec: Codec<V>;
  readonly from: Route<V> | undefined;
  readonly partitions: number | undefined;
  readonly keepMs: number | undefined;
  readonly compact: boolean;
  readonly seed: string | undefined;
}
interface Rec2<K, V> {
  key: K;
  value: V;
}

/** A topic of whatever records: for whoever passes topics on without looking into them. */
export type AnyTopic = Topic<any, any>;

/** Kafka's rule for topic names. */
const NAME = /^[a-zA-Z0-9._-]{1,249}$/;

/** Throws E_CONFIG unless `name` is a legal topic name in Kafka and here. */
export function checkTopicName(name: string): void {
  if (!NAME.test(name) || name === '.' || name === '..')
    throw new MillraceError('E_CONFIG', `topic name '${name}': use 1 to 249 of letters, digits, '.', '_' and '-'`);
}

/**
 * Declares a topic with string keys.
 *
 * Errors  E_CONFIG for a name, partition count, keep or seed that cannot be
 */
export function topic<V>(name: string, codec: Codec<V>, options: TopicOptions<V> = {}): Topic<string, V> {
  return topicBy(stringKey, name, codec, options);
}

/**
 * Declares a topic whose keys have a codec of their own.
 *
 * Errors  E_CONFIG for a name, partition count, keep or seed that cannot be
 */
export function topicBy<K, V>(key: Codec<K>, name: string, codec: Codec<V>, options: TopicOptions<V> = {}): Topic<K, V> {
  checkTopicName(name);
  const { from, partitions, keep, seed } = options;
  if (partitions !== undefined && (!Number.isInteger(partitions) || partitions < 1))
    throw new MillraceError('E_CONFIG', `topic '${name}': partitions must be a whole number of 1 or more, got ${String(partitions)}`);
  if (seed !== undefined && keep !== 'compact')
    throw new MillraceError('E_CONFIG', `topic '${name}': a seed fills a table, so the topic needs keep: 'compact'`);
  const self: Topic<K, V> = {
    kind: 'topic',
    name,
    keyCodec: key,
    codec,
    from,
    partitions,
    compact: keep === 'compact',
    keepMs: keep === undefined || keep === 'compact' ? undefined : durationMs(keep, `topic '${name}': keep`),
    seed,
    resolve: () => ({ topic: self }),
  };
  return Object.freeze(self);
}

// The topics of the embedded log and the ends of their partitions, in memory as they are in LMDB.
import type { Bounds, TopicInfo, TopicSpec } from '../../engine/ports.ts';
import { checkSameTopic, unknownPartition, unknownTopic } from '../topicSpecs.ts';
import type { CommitScope } from './commitQueue.ts';
import { type Environment, NEXT_ID_KEY } from './environment.ts';
import type { PartitionView } from './partitionReader.ts';
import { openRow, type PartitionRow, partitionKey, partitionPayload, readPartition, readTopic, sealRow, topicPayload } from './rows.ts';

/** A partition: what is durable of it. Only a commit that succeeded changes it. */
export interface Partition extends PartitionView, PartitionRow {
  readonly spec: () => TopicSpec;
  startOffset: number;
  endOffset: number;
}

interface Topic {
  readonly id: number;
  spec: TopicSpec;
  readonly partitions: readonly Partition[];
}

/** Reads all topics. Errors: E_CORRUPT */
export function readTopics({ topics }: Environment): { readonly id: number; readonly spec: TopicSpec }[] {
  return [...topics.getRange({})].map(({ key, value }) =>
    readTopic(openRow(key, value, () => `the entry of topic '${key.toString('utf8')}'`)),
  );
}

/** Reads a partition's row. Errors: E_CORRUPT */
export function readPartitionRow({ partitions }: Environment, topic: string, topicId: number, partition: number): PartitionRow {
  const key = partitionKey(topicId, partition);
  const row = partitions.get(key);
  if (row === undefined) return { startOffset: 0, endOffset: 0, bytes: 0, dirtyBytes: 0 };
  return readPartition(openRow(key, row, () => `the entry of topic '${topic}' partition ${partition}`));
}

/** Gives out the next id of a topic, task or store. Inside a transaction. */
export function nextId({ meta }: Environment): number {
  const row = meta.get(NEXT_ID_KEY);
  const id = row === undefined ? 1 : openRow(NEXT_ID_KEY, row, () => "the log's next id").readUInt32BE(0);
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(id + 1);
  void meta.put(NEXT_ID_KEY, sealRow(NEXT_ID_KEY, payload));
  return id;
}

export class TopicTable {
  readonly #environment: Environment;
  readonly #topics = new Map<string, Topic>();

  constructor(environment: Environment) {
    this.#environment = environment;
    for (const { id, spec } of readTopics(environment)) this.#enter(id, spec);
  }

  #enter(id: number, spec: TopicSpec): void {
    const topic: Topic = {
      id,
      spec,
      partitions: Array.from({ length: spec.partitions }, (_, partition) => ({
        topic: spec.name,
        topicId: id,
        partition,
        spec: () => topic.spec,
        ...readPartitionRow(this.#environment, spec.name, id, partition),
      })),
    };
    this.#topics.set(spec.name, topic);
  }

  /** Errors: E_UNKNOWN_TOPIC */
  partitionsOf(name: string): number {
    return this.#topic(name).spec.partitions;
  }

  #topic(name: string): Topic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw unknownTopic(name, this.#topics.keys());
    return topic;
  }

  /** Errors: E_UNKNOWN_TOPIC */
  partition(name: string, partition: number): Partition {
    const topic = this.#topic(name);
    const found = topic.partitions[partition];
    if (found === undefined) throw unknownPartition(topic.spec, partition);
    return found;
  }

  *all(): Iterable<Partition> {
    for (const { partitions } of this.#topics.values()) yield* partitions;
  }

  list(): TopicInfo[] {
    return [...this.#topics.values()].map(({ spec, partitions }) => ({
      ...spec,
      bounds: partitions.map(({ startOffset, endOffset }): Bounds => ({ startOffset, endOffset })),
      bytes: partitions.reduce((sum, { bytes }) => sum + bytes, 0),
    }));
  }

  /** True when every spec is held exactly so: then there is nothing to write. Errors: E_TOPIC_CONFLICT */
  holds(specs: readonly TopicSpec[]): boolean {
    return specs.every((wanted) => {
      const held = this.#topics.get(wanted.name)?.spec;
      if (held !== undefined) checkSameTopic(held, wanted);
      return held?.keepMs === wanted.keepMs;
    });
  }

  /** Creates and changes topics inside a transaction. Errors: E_TOPIC_CONFLICT, and then nothing is written */
  ensure(specs: readonly TopicSpec[], scope: CommitScope): void {
    const { topics } = this.#environment;
    for (const spec of specs) {
      const key = Buffer.from(spec.name, 'utf8');
      const row = topics.get(key);
      const held = row === undefined ? undefined : readTopic(openRow(key, row, () => `the entry of topic '${spec.name}'`));
      if (held !== undefined) checkSameTopic(held.spec, spec);
      const id = held?.id ?? nextId(this.#environment);
      void topics.put(key, sealRow(key, topicPayload({ id, spec })));
      scope.afterCommit(() => {
        const known = this.#topics.get(spec.name);
        if (known === undefined) this.#enter(id, { ...spec });
        else known.spec = { ...spec };
      });
    }
  }
}

/** The rows of the partitions one commit changes: each is written once, at its end, and shown when it is durable. */
export class PartitionDrafts {
  readonly #environment: Environment;
  readonly #drafts = new WeakMap<CommitScope, Map<Partition, PartitionRow>>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The partition's row as this commit leaves it so far. */
  of(partition: Partition, scope: CommitScope): PartitionRow {
    let drafts = this.#drafts.get(scope);
    if (drafts === undefined) this.#drafts.set(scope, (drafts = new Map()));
    let draft = drafts.get(partition);
    if (draft === undefined) {
      const { startOffset, endOffset, bytes, dirtyBytes } = partition;
      const row: PartitionRow = { startOffset, endOffset, bytes, dirtyBytes };
      drafts.set(partition, (draft = row));
      scope.atEnd(row, () => {
        const key = partitionKey(partition.topicId, partition.partition);
        void this.#environment.partitions.put(key, sealRow(key, partitionPayload(row)));
      });
      scope.afterCommit(() => Object.assign(partition, row));
    }
    return draft;
  }
}

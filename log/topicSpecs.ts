// What every log checks about a topic's declaration before it creates or accepts it.
import { MillraceError } from '../engine/errors.ts';
import { formatMs } from '../engine/duration.ts';
import type { TopicSpec } from '../engine/ports.ts';
import { checkTopicName } from '../engine/topic.ts';

/** Throws E_CONFIG for a spec no log can hold. */
export function checkTopicSpec(spec: TopicSpec): void {
  checkTopicName(spec.name);
  if (!Number.isInteger(spec.partitions) || spec.partitions < 1 || spec.partitions > 65_536)
    throw new MillraceError('E_CONFIG', `topic '${spec.name}': partitions must be a whole number from 1 to 65536, got ${spec.partitions}`);
  if (spec.cleanup !== 'delete' && spec.cleanup !== 'compact')
    throw new MillraceError('E_CONFIG', `topic '${spec.name}': cleanup must be 'delete' or 'compact', got '${String(spec.cleanup)}'`);
  if (!(spec.keepMs > 0)) throw new MillraceError('E_CONFIG', `topic '${spec.name}': keepMs must be more than 0, got ${spec.keepMs}`);
}

/** Throws E_TOPIC_CONFLICT unless `wanted` is the topic that `held` is. What it keeps may change; what it is may not. */
export function checkSameTopic(held: TopicSpec, wanted: TopicSpec): void {
  if (held.partitions !== wanted.partitions)
    throw new MillraceError(
      'E_TOPIC_CONFLICT',
      `topic '${wanted.name}' has ${held.partitions} partitions in the log, ${wanted.partitions} are declared`,
    );
  if (held.cleanup !== wanted.cleanup)
    throw new MillraceError('E_TOPIC_CONFLICT', `topic '${wanted.name}' is ${describe(held)} in the log, ${describe(wanted)} as declared`);
}

function describe(spec: TopicSpec): string {
  if (spec.cleanup === 'compact') return "kept by key (keep: 'compact')";
  return `kept for ${spec.keepMs === Infinity ? 'ever' : formatMs(spec.keepMs)}`;
}

/** The error for a name that is not in the log, with the nearest that are. */
export function unknownTopic(topic: string, known: Iterable<string>): MillraceError {
  const names = [...known].sort();
  const some = names.length === 0 ? 'there are none' : `there are ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
  return new MillraceError('E_UNKNOWN_TOPIC', `topic '${topic}' is not in the log; ${some}`);
}

/** The error for a partition a topic does not have. */
export function unknownPartition(spec: TopicSpec, partition: number): MillraceError {
  return new MillraceError('E_UNKNOWN_TOPIC', `topic '${spec.name}' has partitions 0 to ${spec.partitions - 1}, not ${partition}`);
}

/** The error for a position the log does not hold. */
export function outOfRange(topic: string, partition: number, offset: number, startOffset: number, endOffset: number): MillraceError {
  const why = offset < startOffset ? 'what was there has been deleted' : 'the log ends before it';
  return new MillraceError(
    'E_OFFSET_OUT_OF_RANGE',
    `topic '${topic}' partition ${partition} holds offsets ${startOffset} to ${endOffset}, not ${offset}: ${why}`,
  );
}
